#include "libcommon/plan/block_kind.h"

#include <string>

namespace ptrain::plan {

BlockKind kind_of(const job::ParameterSpec& parameter) {
  const auto is_of = [&](const char* part) {
    return parameter.name.find(part) != std::string::npos;
  };
  if (parameter.layer) {
    return is_of(".mlp.") || is_of(".post_attention_") ? BlockKind::mlp : BlockKind::attention;
  }
  return is_of("embed_tokens") ? BlockKind::embedding : BlockKind::head;
}

}  // namespace ptrain::plan
