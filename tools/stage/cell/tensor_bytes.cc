#include "tools/stage/cell/tensor_bytes.h"

#include <span>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "libcommon/base/error.h"

namespace ptrain::stage {
namespace {

std::span<std::byte> bytes_of(const at::Tensor& tensor) {
  return {static_cast<std::byte*>(tensor.data_ptr()), tensor.nbytes()};
}

}  // namespace

ckpt::TensorView tensor_view(std::string name, const at::Tensor& tensor) {
  return {{std::move(name), ckpt::Dtype::f32, tensor.sizes().vec()}, bytes_of(tensor)};
}

void read_tensor(const ckpt::CheckpointReader& reader, const std::string& name,
                 at::Tensor& tensor) {
  const ckpt::TensorInfo& stored = reader.tensor(name).info;
  if (stored.dtype != ckpt::Dtype::f32 || !tensor.sizes().equals(stored.shape)) {
    throw Error(ErrorKind::corrupt,
                fmt::format("{}: {} [{}] in the checkpoint, F32 [{}] in the model", name,
                            ckpt::dtype_name(stored.dtype), fmt::join(stored.shape, ", "),
                            fmt::join(tensor.sizes(), ", ")));
  }
  at::Tensor host = at::empty(tensor.sizes(), at::kFloat);
  reader.read(name, bytes_of(host));
  tensor.copy_(host);
}

}  // namespace ptrain::stage
