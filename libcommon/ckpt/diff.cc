#include "libcommon/ckpt/diff.h"

#include <vector>

#include "libcommon/ckpt/element.h"

namespace ptrain::ckpt {
namespace {

std::vector<TensorInfo> tensors_in_scope(const CheckpointReader& reader, DiffScope scope) {
  std::vector<TensorInfo> tensors = reader.tensors();
  if (scope == DiffScope::weights) {
    tensors.resize(job::parameters(reader.manifest().run.model).size());  // they come first
  }
  return tensors;
}

Difference compare_data(const CheckpointReader& left, const CheckpointReader& right,
                        const TensorInfo& info, const Progress& progress) {
  const std::size_t most = kPieceBytes / element_bytes(info.dtype);
  std::vector<float> left_numbers(most);
  std::vector<float> right_numbers(most);
  TensorPieces left_pieces = left.pieces(info.name);
  TensorPieces right_pieces = right.pieces(info.name);
  Difference difference;
  for (;;) {
    const auto one = left_pieces.next();
    const auto other = right_pieces.next();  // as long, for the tensors are
    if (one.empty()) return difference;
    const std::size_t count = one.size() / element_bytes(info.dtype);
    const auto a = std::span(left_numbers).first(count);
    const auto b = std::span(right_numbers).first(count);
    widen(info.dtype, one, a);
    widen(info.dtype, other, b);
    difference.add(a, b);
    if (progress) progress(ByteCount(one.size() + other.size()));
  }
}

TensorComparison compare(const CheckpointReader& left, const CheckpointReader& right,
                         const TensorInfo& info, const Progress& progress) {
  TensorComparison found{info.name, Comparison::equal, std::nullopt, info, std::nullopt};
  if (!right.contains(info.name)) {
    found.result = Comparison::only_left;
    return found;
  }
  found.right = right.tensor(info.name).info;
  if (left.tensor(info.name) == right.tensor(info.name)) return found;
  if (found.right != info || !widens_to_float32(info.dtype)) {
    found.result = Comparison::other_form;
    return found;
  }
  found.result = Comparison::compared;
  found.difference = compare_data(left, right, info, progress);
  return found;
}

}  // namespace

bool TensorComparison::same(std::optional<double> tolerance) const {
  if (result == Comparison::equal) return true;
  return result == Comparison::compared && tolerance && difference->within(*tolerance);
}

void diff(const CheckpointReader& left, const CheckpointReader& right, DiffScope scope,
          const std::function<void(const TensorComparison&)>& each, const Progress& progress) {
  for (const TensorInfo& info : tensors_in_scope(left, scope)) {
    each(compare(left, right, info, progress));
  }
  for (const TensorInfo& info : tensors_in_scope(right, scope)) {
    if (left.contains(info.name)) continue;
    each({info.name, Comparison::only_right, std::nullopt, std::nullopt, info});
  }
}

}  // namespace ptrain::ckpt
