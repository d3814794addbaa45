// Fuzzes what a fetcher and a holder of checkpoints read from each other: whatever comes, reading
// ends with a value or a refusal, and what was accepted means the same after it is written and read
// again.

#include <cstdint>
#include <cstdlib>
#include <span>

#include "libcommon/transfer/protocol.h"

namespace {

using namespace ptrain;

constexpr std::uint64_t kNumber = 7;

template <class Value, class Read, class Write>
void check(wire::Message message, Read read, Write write) {
  const auto first = read(message);
  const auto* value = std::get_if<Value>(&first);
  if (value == nullptr) return;
  const auto again = read(write(kNumber, *value));
  const auto* same = std::get_if<Value>(&again);
  if (same == nullptr || *same != *value) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const wire::Buffer bytes = wire::Buffer::copy_of(std::as_bytes(std::span(data, size)));
  wire::Message request = transfer::request_message(kNumber, transfer::ListRequest{});
  request.payload = bytes;
  check<transfer::Request>(std::move(request), transfer::read_request, transfer::request_message);
  wire::Message answer = transfer::answer_message(kNumber, transfer::Listing{});
  answer.payload = bytes;
  check<transfer::Answer>(std::move(answer), transfer::read_answer, transfer::answer_message);
  return 0;
}
