// Any bytes as a config.json or as a model.safetensors.index.json: a value within the limits, or
// an Error that says what is wrong with the data; nothing else. The first byte chooses.

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "libcommon/base/error.h"
#include "libcommon/ckpt/hf_files.h"
#include "libcommon/job/hf_config.h"

namespace {

void check_config(std::string_view text) {
  const auto model = ptrain::ckpt::parse_hf_config(text, "fuzz");
  const std::string again = ptrain::job::model_to_hf_json(model).dump();
  if (ptrain::ckpt::parse_hf_config(again, "again") != model) std::abort();
}

void check_index(std::string_view text) {
  for (const auto& [tensor, file] : ptrain::ckpt::parse_hf_index(text, "fuzz")) {
    if (file.find('/') != std::string::npos || file.starts_with('.')) std::abort();
    if (file.size() > ptrain::ckpt::kMaxHfFileNameBytes) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  try {
    data[0] == 'c' ? check_config(text) : check_index(text);
  } catch (const ptrain::Error& error) {
    const bool expected = error.kind() == ptrain::ErrorKind::corrupt ||
                          (data[0] == 'c' && error.kind() == ptrain::ErrorKind::usage);
    if (!expected) std::abort();
  }
  return 0;
}
