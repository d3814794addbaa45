#include "tools/ckpt/fetch_work.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "libcommon/ckpt/store.h"
#include "libcommon/cli/early_end.h"
#include "tools/ckpt/holder_options.h"
#include "tools/ckpt/quantity.h"

namespace ptrain::ckpt_tool {
namespace {

std::size_t used(const transfer::FetchResult& result) {
  return static_cast<std::size_t>(std::ranges::count_if(
      result.holders, [](const transfer::Holder& holder) { return holder.bytes.value() > 0; }));
}

}  // namespace

transfer::FetchResult FetchWork::fetch(transfer::FetchOptions options) {
  const TimePoint begun = clock_.now();
  options.stop = [this] { return stop_.requested(); };
  options.progress = [this, begun](const transfer::FetchProgress& progress) {
    show(progress, begun);
  };
  try {
    transfer::FetchResult result = transfer::fetch(options, storage_, log_, clock_);
    line_.clear();
    if (!result.stopped) return result;
    throw cli::EarlyEnd{stop_code(), fmt::format("{} of {} are here; the same command goes on",
                                                 size_text(result.progress.local_bytes),
                                                 size_text(result.progress.wanted_bytes))};
  } catch (const Error&) {
    line_.clear();
    throw;
  }
}

std::optional<transfer::Entry> FetchWork::find(transfer::FetchOptions options) {
  options.stop = [this] { return stop_.requested(); };
  return transfer::find_held(options, storage_, log_, clock_);
}

void FetchWork::show(const transfer::FetchProgress& progress, TimePoint begun) {
  if (!line_.active()) return;
  const double elapsed_s = std::max(1e-3, seconds(clock_.now() - begun));
  const double rate = static_cast<double>(progress.fetched_bytes.value()) / elapsed_s;
  line_.update(fmt::format("fetch: {} of {}, {}/s", size_text(progress.local_bytes),
                           size_text(progress.wanted_bytes),
                           size_text(ByteCount(static_cast<std::uint64_t>(rate)))));
}

nlohmann::ordered_json to_json(const transfer::FetchResult& result) {
  nlohmann::ordered_json json{{"kind", "fetched"},
                              {"step", result.step.value()},
                              {"id", result.id.hex()},
                              {"weights_sha256", result.weights_sha256},
                              {"size_bytes", result.progress.wanted_bytes.value()},
                              {"fetched_bytes", result.progress.fetched_bytes.value()},
                              {"repaired", nlohmann::ordered_json::array()},
                              {"holders", nlohmann::ordered_json::array()}};
  for (const transfer::RepairedChunk& chunk : result.repaired) {
    json["repaired"].push_back({{"file", chunk.file},
                                {"chunk", chunk.chunk},
                                {"begin_bytes", chunk.begin.value()},
                                {"size_bytes", chunk.size.value()}});
  }
  for (const transfer::Holder& holder : result.holders) {
    nlohmann::ordered_json entry{{"endpoint", holder.name}, {"bytes", holder.bytes.value()}};
    if (holder.failure) entry["failure"] = holder.failure->what();
    json["holders"].push_back(std::move(entry));
  }
  return json;
}

std::string to_text(const transfer::FetchResult& result) {
  std::string text;
  for (const transfer::RepairedChunk& chunk : result.repaired) {
    text += fmt::format("{}: chunk {} (bytes {} to {}) was damaged and is repaired\n", chunk.file,
                        chunk.chunk, chunk.begin.value(), chunk.begin.value() + chunk.size.value());
  }
  const std::size_t holders = used(result);
  return text +
         fmt::format("{} {}: {} here, {} fetched from {} holder{}", ckpt::step_name(result.step),
                     short_id(result.id), size_text(result.progress.wanted_bytes),
                     size_text(result.progress.fetched_bytes), holders, holders == 1 ? "" : "s");
}

}  // namespace ptrain::ckpt_tool
