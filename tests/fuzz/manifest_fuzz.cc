// Any text as a manifest and as a stage's record: a value that is written back in the
// same bytes, or an Error of kind corrupt; nothing else.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "libcommon/base/error.h"
#include "libcommon/ckpt/manifest.h"
#include "libcommon/ckpt/record.h"

namespace {

template <class Parse>
void check(std::string_view text, Parse&& parse) {
  try {
    if (canonical_json(parse(text, "fuzz")) != text) std::abort();
  } catch (const ptrain::Error& error) {
    if (error.kind() != ptrain::ErrorKind::corrupt) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  check(text, ptrain::ckpt::parse_manifest);
  check(text, ptrain::ckpt::parse_record);
  return 0;
}
