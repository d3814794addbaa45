#include "libcommon/transfer/checkpoint_choice.h"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <set>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/ckpt/store.h"

namespace ptrain::transfer {
namespace {

std::optional<Step> step_of(std::string_view which) {
  if (const auto step = ckpt::step_from_name(which)) return step;
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(which.data(), which.data() + which.size(), number);
  const bool all = error == std::errc() && end == which.data() + which.size();
  return all && !which.empty() ? std::optional(Step(number)) : std::nullopt;
}

// The stages that the holders lack between them, as text; empty when they have all.
std::string lacking(const Entry& entry, const Share& share) {
  std::string text;
  const auto check = [&](std::uint32_t stage) {
    if (std::ranges::binary_search(entry.held, StageIndex(stage))) return;
    text += fmt::format("{}{}", text.empty() ? "" : ", ", stage);
  };
  if (const auto* stage = std::get_if<StageIndex>(&share)) check(stage->value());
  if (std::holds_alternative<WholeCheckpoint>(share)) {
    for (std::uint32_t stage = 0; stage < entry.stage_count; ++stage) check(stage);
  }
  return text;
}

Listing newest(const Listing& all, const Share& share) {
  Listing fitting;
  for (const Entry& entry : all) {
    if (!fitting.empty() && entry.step != fitting.front().step) break;
    if (lacking(entry, share).empty()) fitting.push_back(entry);
  }
  return fitting;
}

bool overlap(const job::StageSpan& wanted, const job::StageSpan& there, bool tied) {
  const bool layers =
      wanted.block_begin() < there.block_end() && there.block_begin() < wanted.block_end();
  // A tied head's weights are the embedding's.
  return layers || (wanted.head && there.head) ||
         ((wanted.embedding || (tied && wanted.head)) && there.embedding);
}

}  // namespace

Listing merged(const std::vector<Listing>& listings) {
  Listing all;
  for (const Listing& listing : listings) {
    for (const Entry& entry : listing) {
      const auto known = std::ranges::find_if(all, [&](const Entry& e) {
        return e.id == entry.id && e.step == entry.step && e.stage_count == entry.stage_count;
      });
      if (known == all.end()) {
        all.push_back(entry);
        continue;
      }
      std::set<StageIndex> held(known->held.begin(), known->held.end());
      held.insert(entry.held.begin(), entry.held.end());
      known->held.assign(held.begin(), held.end());
    }
  }
  std::ranges::stable_sort(all, std::greater(), &Entry::step);
  return all;
}

Listing fitting(const std::vector<Listing>& listings, std::string_view which, const Share& share) {
  const Listing all = merged(listings);
  if (which == "latest") return newest(all, share);
  const auto step = step_of(which);
  Listing found;
  const auto collect = [&](auto fits) {
    std::ranges::copy_if(all, std::back_inserter(found), fits);
  };
  if (step) collect([&](const Entry& entry) { return entry.step == *step; });
  // Eight digits may be a step or the beginning of an id.
  if (found.empty() && which.size() >= ckpt::CheckpointStore::kMinIdPrefix) {
    collect([&](const Entry& entry) { return entry.id.hex().starts_with(which); });
  }
  return found;
}

void check_held(const Entry& entry, const Share& share) {
  const std::string stages = lacking(entry, share);
  if (stages.empty()) return;
  throw Error(ErrorKind::unavailable,
              fmt::format("checkpoint {} of step {}: no holder has stage {}", entry.id.hex(),
                          entry.step.value(), stages),
              "name a holder of it with --from");
}

Error ambiguous(const Listing& fitting, std::string_view which) {
  return Error(
      ErrorKind::usage,
      fmt::format("{} fits checkpoints {} and {}", which, fitting[0].id.hex(), fitting[1].id.hex()),
      "give the id of the one that you mean");
}

std::vector<StageIndex> wanted_stages(const ckpt::Manifest& manifest, const Share& share) {
  const auto count = static_cast<std::uint32_t>(manifest.stages.size());
  std::vector<StageIndex> wanted;
  if (const auto* stage = std::get_if<StageIndex>(&share)) {
    if (stage->value() >= count) {
      throw Error(ErrorKind::usage,
                  fmt::format("stage {}: the checkpoint has {}, from 0", stage->value(), count));
    }
    return {*stage};
  }
  const auto* span = std::get_if<job::StageSpan>(&share);
  for (std::uint32_t stage = 0; stage < count; ++stage) {
    const bool is_wanted = span == nullptr || overlap(*span, manifest.stages[stage].span,
                                                      manifest.run.model.tie_word_embeddings);
    if (is_wanted) wanted.emplace_back(stage);
  }
  return wanted;
}

}  // namespace ptrain::transfer
