#include "libcommon/ckpt/stage_layout.h"

#include <map>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/base/in_quotes.h"

namespace ptrain::ckpt {
namespace {

using MomentsByParameter = std::map<std::string, std::vector<TensorInfo>, std::less<>>;

MomentsByParameter by_parameter(std::span<const TensorInfo> moments) {
  MomentsByParameter sorted;
  for (const TensorInfo& moment : moments) {
    const std::size_t dot = moment.name.rfind('.');
    if (dot == std::string::npos) {
      throw Error(ErrorKind::corrupt,
                  fmt::format("tensor {} is the moment of no parameter", in_quotes(moment.name)));
    }
    sorted[moment.name.substr(0, dot)].push_back(moment);
  }
  return sorted;
}

std::vector<TensorInfo> infos_of(const FileRecord& file) {
  std::vector<TensorInfo> infos;
  for (const TensorRecord& tensor : file.tensors) infos.push_back(tensor.info);
  return infos;
}

}  // namespace

StageLayout layout_of(const StageRecord& record) {
  return {.run = record.run,
          .stage = record.stage,
          .stage_count = record.stage_count,
          .span = record.span,
          .model = infos_of(record.model),
          .optim = record.optim ? infos_of(*record.optim) : std::vector<TensorInfo>()};
}

std::vector<StageLayout> layouts_of_cut(const RunState& run, std::span<const job::StageSpan> cut,
                                        std::span<const TensorInfo> moments,
                                        const std::optional<std::string>& tokenizer) {
  const MomentsByParameter sorted = by_parameter(moments);
  std::vector<StageLayout> layouts;
  for (const job::StageSpan& span : cut) {
    StageLayout layout;
    layout.run = run;
    layout.stage = StageIndex(static_cast<std::uint32_t>(layouts.size()));
    layout.stage_count = static_cast<std::uint32_t>(cut.size());
    layout.span = span;
    if (span.embedding) layout.tokenizer = tokenizer;
    for (const job::ParameterSpec& parameter : job::parameters(run.model, span)) {
      layout.model.push_back({parameter.name, Dtype::f32, parameter.shape});
      const auto found = sorted.find(parameter.name);
      if (found == sorted.end()) continue;
      layout.optim.insert(layout.optim.end(), found->second.begin(), found->second.end());
    }
    layouts.push_back(std::move(layout));
  }
  return layouts;
}

}  // namespace ptrain::ckpt
