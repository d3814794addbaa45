#include "libcommon/reduce/fragments.h"

#include <algorithm>

#include <fmt/format.h>

#include "libcommon/base/error.h"

namespace ptrain::reduce {
namespace {

constexpr std::uint32_t kEnds = 2;  // the embedding, and what follows the layers

// Whether the fragment's turn comes after that step; the last one's after every multiple of H.
bool has_turn(const OuterSchedule& schedule, FragmentIndex fragment, std::uint64_t step) {
  const std::uint64_t count = fragment_count(schedule.fragments);
  const std::uint64_t place = (std::uint64_t{fragment.value()} + 1) * schedule.every / count;
  return step % schedule.every == place % schedule.every;
}

}  // namespace

VectorLayout lay_out(std::span<const VectorPart> parts) {
  VectorLayout layout;
  for (const VectorPart& part : parts) {
    if (part.elements > kMaxElements - layout.elements) {
      throw Error(ErrorKind::usage, fmt::format("a vector of more than {} elements", kMaxElements));
    }
    layout.parts.push_back({.first = layout.elements, .count = part.elements});
    const std::uint64_t end = layout.elements + part.elements;
    layout.elements = (end + kBlockElements - 1) / kBlockElements * kBlockElements;
  }
  return layout;
}

std::optional<std::string> flaw_of(const OuterSchedule& schedule) {
  if (schedule.steps < 1) return std::string("a run of no steps");
  if (schedule.every < 1) return std::string("an exchange every 0 steps");
  if (schedule.fragments < 1 || schedule.fragments > kMaxFragments) {
    return fmt::format("{} fragments; 1 to {} are possible", schedule.fragments, kMaxFragments);
  }
  const std::uint32_t count = fragment_count(schedule.fragments);
  if (count > schedule.every) {
    return fmt::format("{} fragments, with those of the ends, in {} steps: two had one turn", count,
                       schedule.every);
  }
  if (schedule.overlap >= schedule.every) {
    return fmt::format(
        "an exchange that takes {} steps begins every {}: less than these are possible",
        schedule.overlap, schedule.every);
  }
  return std::nullopt;
}

std::uint32_t fragment_count(std::uint32_t fragments) {
  return fragments == 1 ? 1 : fragments + kEnds;
}

FragmentIndex fragment_of(std::uint32_t fragments, const VectorPart& part) {
  if (fragments == 1) return FragmentIndex(0);
  switch (part.place) {
    case PartPlace::layer:
      return FragmentIndex(part.layer % fragments);
    case PartPlace::embedding:
      return FragmentIndex(fragments);
    case PartPlace::ending:
      return FragmentIndex(fragments + 1);
  }
  throw Error(ErrorKind::internal,
              fmt::format("a part of a vector at place {}", static_cast<unsigned>(part.place)));
}

std::vector<std::size_t> parts_of(std::uint32_t fragments, FragmentIndex fragment,
                                  std::span<const VectorPart> parts) {
  std::vector<std::size_t> found;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (fragment_of(fragments, parts[i]) == fragment) found.push_back(i);
  }
  return found;
}

std::vector<Exchange> begin_after(const OuterSchedule& schedule, std::uint64_t step) {
  std::vector<Exchange> all;
  for (std::uint32_t f = 0; f < fragment_count(schedule.fragments); ++f) {
    const FragmentIndex fragment(f);
    if (step == schedule.steps || has_turn(schedule, fragment, step)) {
      all.push_back({fragment, step});
    }
  }
  return all;
}

std::vector<Exchange> end_after(const OuterSchedule& schedule, std::uint64_t step) {
  // Those that began then end now.
  const std::uint64_t latest = step - std::min(schedule.overlap, step);
  if (step < schedule.steps) {
    return latest == 0 ? std::vector<Exchange>() : begin_after(schedule, latest);
  }
  std::vector<Exchange> all;
  for (std::uint64_t begun = std::max<std::uint64_t>(latest, 1); begun <= step; ++begun) {
    const std::vector<Exchange> ending = begin_after(schedule, begun);
    all.insert(all.end(), ending.begin(), ending.end());
  }
  return all;
}

}  // namespace ptrain::reduce
