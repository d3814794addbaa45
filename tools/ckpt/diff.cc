// ptrain-ckpt diff: are two checkpoints the same, and if not, by how much do they differ?

#include "libcommon/ckpt/diff.h"

#include <limits>
#include <memory>
#include <optional>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "libcommon/cli/exit_code.h"
#include "libcommon/cli/json_line.h"
#include "libcommon/cli/number_range.h"
#include "libcommon/cli/output.h"
#include "tools/ckpt/byte_work.h"
#include "tools/ckpt/commands.h"
#include "tools/ckpt/found_checkpoint.h"
#include "tools/ckpt/options.h"
#include "tools/ckpt/quantity.h"

namespace ptrain::ckpt_tool {
namespace {

using ckpt::Comparison;
using ckpt::TensorComparison;

struct DiffOptions {
  CommonOptions common;
  std::string left;
  std::string right;
  std::optional<double> tolerance;
  bool weights = false;
};

struct Counts {
  std::uint64_t equal = 0;   // bit by bit
  std::uint64_t within = 0;  // the tolerance
  std::uint64_t differing = 0;
};

std::string form_text(const std::optional<ckpt::TensorInfo>& info) {
  if (!info) return "not there";
  return fmt::format("{} [{}]", dtype_name(info->dtype), fmt::join(info->shape, ", "));
}

void print_text(const TensorComparison& tensor) {
  if (tensor.result != Comparison::compared) {
    const bool same_form = tensor.left == tensor.right;
    cli::print("{}: {}\n", tensor.name,
               same_form ? "other bits"
                         : fmt::format("{} on the left, {} on the right", form_text(tensor.left),
                                       form_text(tensor.right)));
    return;
  }
  const ckpt::Difference& found = *tensor.difference;
  cli::print("{}: {} of {} differ, at most by {:.6g} ({:.3g} relative)", tensor.name,
             found.different, found.elements, found.largest_absolute, found.largest_relative);
  if (found.incomparable > 0) cli::print(", {} not finite on one side", found.incomparable);
  cli::print("\n");
}

const char* result_text(Comparison result) {
  switch (result) {
    case Comparison::equal:
      return "equal";
    case Comparison::compared:
      return "compared";
    case Comparison::only_left:
      return "only_left";
    case Comparison::only_right:
      return "only_right";
    case Comparison::other_form:
      return "other_form";
  }
  return "";
}

void print_json(const TensorComparison& tensor, bool same) {
  nlohmann::ordered_json json{{"kind", "tensor"},
                              {"name", tensor.name},
                              {"result", result_text(tensor.result)},
                              {"same", same}};
  if (tensor.difference) {
    json["elements"] = tensor.difference->elements;
    json["different"] = tensor.difference->different;
    json["incomparable"] = tensor.difference->incomparable;
    json["largest_absolute"] = tensor.difference->largest_absolute;
    json["largest_relative"] = tensor.difference->largest_relative;
  }
  cli::print_json_line(json);
}

void print_counts(const Counts& counts, const DiffOptions& options) {
  if (options.common.json) {
    cli::print_json_line({{"kind", "summary"},
                          {"same", counts.differing == 0},
                          {"equal", counts.equal},
                          {"within_tolerance", counts.within},
                          {"differing", counts.differing}});
  } else if (options.tolerance) {
    cli::print("{} tensors equal, {} within {:g}, {} not\n", counts.equal, counts.within,
               *options.tolerance, counts.differing);
  } else {
    cli::print("{} tensors equal, {} not\n", counts.equal, counts.differing);
  }
}

int diff(const DiffOptions& options) {
  os::PosixStorage storage;
  ByteWork work;
  const auto find = [&](const std::string& name) {
    return find_complete(storage, name, options.common.dir);
  };
  const ckpt::FoundCheckpoint left_found = find(options.left);
  const ckpt::FoundCheckpoint right_found = find(options.right);
  const ckpt::CheckpointReader left(storage, left_found.folder());
  const ckpt::CheckpointReader right(storage, right_found.folder());
  work.begin("compare", ByteCount(left_found.info.bytes.value() + right_found.info.bytes.value()));
  Counts counts;
  ckpt::diff(
      left, right,
      options.weights ? ckpt::DiffScope::weights : ckpt::DiffScope::weights_and_moments,
      [&](const TensorComparison& tensor) {
        const bool same = tensor.same(options.tolerance);
        const bool equal = tensor.result == Comparison::equal;
        ++(equal ? counts.equal : same ? counts.within : counts.differing);
        if (equal) return;
        work.clear();
        options.common.json ? print_json(tensor, same) : print_text(tensor);
      },
      work.progress());
  work.clear();
  print_counts(counts, options);
  return counts.differing == 0 ? cli::kDone : cli::kNegative;
}

}  // namespace

void add_diff(CLI::App& app, Command& command) {
  CLI::App* sub = app.add_subcommand("diff", "Compare two checkpoints, tensor by tensor");
  sub->footer("Example:\n  ptrain-ckpt diff --dir run/ckpt 1 2 --tolerance 1e-2 --weights");
  auto o = std::make_shared<DiffOptions>();
  sub->add_option("LEFT", o->left, "A checkpoint")->required();
  sub->add_option("RIGHT", o->right, "Another one")->required();
  sub->add_option("--tolerance", o->tolerance, "Accept absolute differences up to X")
      ->check(cli::number_range(0.0, std::numeric_limits<double>::max()));
  sub->add_flag("--weights", o->weights, "Leave the optimiser's moments out");
  add_common_options(*sub, o->common);
  sub->callback([&command, o] { command = [o] { return diff(*o); }; });
}

}  // namespace ptrain::ckpt_tool
