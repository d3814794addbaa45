#include "libcommon/ckpt/reshard.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/ckpt/stage_layout.h"

namespace ptrain::ckpt {
namespace {

std::vector<TensorInfo> moments_of(const CheckpointReader& source) {
  std::vector<TensorInfo> moments;
  const std::size_t parameters = job::parameters(source.manifest().run.model).size();
  std::vector<TensorInfo> all = source.tensors();  // the parameters, then the moments
  for (std::size_t i = parameters; i < all.size(); ++i) moments.push_back(std::move(all[i]));
  return moments;
}

}  // namespace

void refuse_existing(os::Storage& storage, const CheckpointStore& target, Step step) {
  const auto path = target.step_directory(step) / kManifestName;
  if (!storage.status(path)) return;
  throw Error(ErrorKind::usage,
              fmt::format("{} is there already, and is not written over", path.string()),
              "give another folder with --out");
}

CheckpointId reshard(const CheckpointReader& source, std::span<const job::StageSpan> cut,
                     os::Storage& storage, CheckpointStore& target, const Progress& progress) {
  const RunState& run = source.manifest().run;
  refuse_existing(storage, target, run.step);
  const TensorStream read = [&](const TensorInfo& info, const ByteSink& sink) {
    source.stream(info.name, [&](std::span<const std::byte> bytes) {
      sink(bytes);
      if (progress) progress(ByteCount(bytes.size()));
    });
  };
  auto tokenizer = source.tokenizer();
  std::optional<std::string> tokenizer_bytes;
  if (tokenizer) tokenizer_bytes = std::move(tokenizer->bytes);
  std::vector<StageRecord> records;
  for (const StageLayout& layout : layouts_of_cut(run, cut, moments_of(source), tokenizer_bytes)) {
    records.push_back(target.write_stage(layout, read));
  }
  return target.write_manifest(make_manifest(records));
}

}  // namespace ptrain::ckpt
