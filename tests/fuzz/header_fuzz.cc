// Fuzzes the header of session frames: whatever comes, decoding ends with a frame or a
// refusal, and what was accepted means the same after it is written and read again.

#include <cstdint>
#include <cstdlib>
#include <span>

#include "libcommon/wire/envelope.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ptrain::wire;
  const auto decoded = decode_frame(std::as_bytes(std::span(data, size)), {});
  const auto* frame = std::get_if<NumberedFrame>(&decoded);
  if (frame == nullptr) return 0;
  const std::vector<std::byte> written = encode_header(frame->frame, frame->ordinal);
  const auto again = decode_frame(written, {});
  const auto* same = std::get_if<NumberedFrame>(&again);
  if (same == nullptr || encode_header(same->frame, same->ordinal) != written) std::abort();
  return 0;
}
