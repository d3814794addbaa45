#include "tools/stage/cell/tensor_bytes.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "libcommon/base/error.h"

namespace ptrain::stage {

std::span<std::byte> tensor_bytes(const at::Tensor& tensor) {
  return {static_cast<std::byte*>(tensor.data_ptr()), tensor.nbytes()};
}

ckpt::TensorView tensor_view(std::string name, const at::Tensor& tensor) {
  return {{std::move(name), ckpt::Dtype::f32, tensor.sizes().vec()}, tensor_bytes(tensor)};
}

void check_tensor(const ckpt::CheckpointReader& reader, const std::string& name,
                  const at::Tensor& tensor) {
  const ckpt::TensorInfo& stored = reader.tensor(name).info;
  if (stored.dtype != ckpt::Dtype::f32 || !tensor.sizes().equals(stored.shape)) {
    throw Error(ErrorKind::corrupt,
                fmt::format("{}: {} [{}] in the checkpoint, F32 [{}] in the model", name,
                            ckpt::dtype_name(stored.dtype), fmt::join(stored.shape, ", "),
                            fmt::join(tensor.sizes(), ", ")));
  }
}

void read_tensor(const ckpt::CheckpointReader& reader, const std::string& name,
                 at::Tensor& tensor) {
  check_tensor(reader, name, tensor);
  at::Tensor host = at::empty(tensor.sizes(), at::kFloat);
  reader.read(name, tensor_bytes(host));
  tensor.copy_(host);
}

}  // namespace ptrain::stage
