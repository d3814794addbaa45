#include "tools/stage/model/parameter_store.h"

#include <cstdint>
#include <string_view>

#include "libcommon/base/units.h"
#include "libcommon/os/memory_error.h"

namespace ptrain::stage {
namespace {

// Elements that every group starts at a multiple of: a cache line of bfloat16.
constexpr std::int64_t kAlignment = 32;

// Projections that follow directly on the one before, with which they share their input.
bool continues_group(std::string_view name) {
  return name.ends_with(".k_proj.weight") || name.ends_with(".v_proj.weight") ||
         name.ends_with(".up_proj.weight");
}

std::int64_t elements(const job::ParameterSpec& spec) {
  std::int64_t product = 1;
  for (const std::int64_t size : spec.shape) product *= size;
  return product;
}

}  // namespace

ParameterStore::ParameterStore(const std::vector<job::ParameterSpec>& specs, const Ops& ops,
                               std::size_t lanes) {
  std::int64_t end = 0;
  for (const job::ParameterSpec& spec : specs) {
    if (!continues_group(spec.name)) end = (end + kAlignment - 1) / kAlignment * kAlignment;
    offsets_.push_back(end);
    end += elements(spec);
  }
  const bool copies = ops.compute().dtype() != ops.master().dtype();
  if (ops.master().device().is_cpu()) {
    const std::uint64_t each = (1 + lanes) * sizeof(float) + (copies ? sizeof(std::uint16_t) : 0);
    os::require_memory("the parameters and their gradients",
                       ByteCount(static_cast<std::uint64_t>(end) * each),
                       "use a smaller model, or cut it into more stages on more hosts");
  }
  values_ = at::zeros({end}, ops.master());
  grads_ = at::zeros({end}, ops.master());
  lanes_.emplace(grads_, lanes);
  compute_ = copies ? at::zeros({end}, ops.compute()) : values_;

  for (std::size_t i = 0; i < specs.size(); ++i) {
    const auto view = [&](const at::Tensor& flat) {
      return flat.narrow(0, offsets_[i], elements(specs[i])).view(specs[i].shape);
    };
    const bool norm = specs[i].shape.size() == 1;
    const at::Tensor value = view(values_);
    parameters_.push_back({.spec = specs[i],
                           .value = value,
                           .grad = view(grads_),
                           .compute = norm ? value : view(compute_)});
  }
}

Weight ParameterStore::weight(std::size_t index) const {
  return {parameters_[index].compute, parameters_[index].grad};
}

Weight ParameterStore::fused(std::size_t index, std::size_t count) const {
  std::int64_t outputs = 0;
  for (std::size_t i = index; i < index + count; ++i) outputs += parameters_[i].value.size(0);
  const std::int64_t inputs = parameters_[index].value.size(1);
  const auto view = [&](const at::Tensor& flat) {
    return flat.narrow(0, offsets_[index], outputs * inputs).view({outputs, inputs});
  };
  return {view(compute_), view(grads_)};
}

void ParameterStore::zero_gradients() { grads_.zero_(); }

void ParameterStore::refresh_compute(Ops& ops) {
  if (!compute_.is_same(values_)) ops.to_compute(values_, compute_);
}

}  // namespace ptrain::stage
