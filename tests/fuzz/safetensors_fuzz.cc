// Any bytes as a safetensors file: a header whose tensors tile the data, or an Error
// of kind corrupt; nothing else. What was read must read back from its canonical form.

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "libcommon/base/error.h"
#include "libcommon/ckpt/safetensors.h"

namespace {

void check_tiling(const ptrain::ckpt::SafetensorsHeader& header, std::uint64_t file_bytes) {
  std::uint64_t expected = header.data_begin;
  for (const auto& tensor : header.tensors) {
    if (tensor.begin != expected || tensor.end < tensor.begin) std::abort();
    if (byte_size(tensor.info) != tensor.end - tensor.begin) std::abort();
    expected = tensor.end;
  }
  if (expected != file_bytes) std::abort();
}

void check_round_trip(const ptrain::ckpt::SafetensorsHeader& header, std::uint64_t data_bytes) {
  std::vector<ptrain::ckpt::TensorInfo> infos;
  for (const auto& tensor : header.tensors) infos.push_back(tensor.info);
  const std::string text = ptrain::ckpt::safetensors_header(infos, header.metadata);
  const auto again = ptrain::ckpt::parse_safetensors_header(
      std::string_view(text).substr(sizeof(std::uint64_t)), text.size() + data_bytes, "again");
  if (again.metadata != header.metadata || again.tensors.size() != infos.size()) std::abort();
  for (std::size_t i = 0; i < infos.size(); ++i) {
    if (again.tensors[i].info != infos[i]) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // The first byte is how many bytes of data follow the header: a fuzzer that had to
  // guess eight length bytes would find little else.
  if (size == 0) return 0;
  const std::uint64_t data_bytes = data[0];
  const std::string_view json(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::uint64_t file_bytes = sizeof(std::uint64_t) + json.size() + data_bytes;
  try {
    const auto header = ptrain::ckpt::parse_safetensors_header(json, file_bytes, "fuzz");
    check_tiling(header, file_bytes);
    check_round_trip(header, data_bytes);
  } catch (const ptrain::Error& error) {
    if (error.kind() != ptrain::ErrorKind::corrupt) std::abort();
  }
  return 0;
}
