// Fuzzes what a relay and its peers read from each other, and tickets: whatever comes, decoding
// ends with a value or a refusal, and what was accepted means the same after it is written and
// read again.

#include <cstdint>
#include <cstdlib>
#include <span>
#include <string_view>
#include <vector>

#include "libcommon/base/error.h"
#include "libcommon/net/peer_record.h"
#include "libcommon/net/relay_codec.h"
#include "libcommon/net/ticket.h"

namespace {

using namespace ptrain;

template <class Message, class Decode>
void check(std::span<const std::byte> bytes, Decode decode) {
  const auto decoded = decode(bytes);
  const auto* message = std::get_if<Message>(&decoded);
  if (message == nullptr) return;
  const auto again = decode(net::encode(*message));
  const auto* same = std::get_if<Message>(&again);
  if (same == nullptr || *same != *message) std::abort();
}

void check_ticket(std::string_view text) {
  try {
    const net::Ticket ticket = net::parse_ticket(text, "ticket");
    const std::string written = net::to_text(ticket);
    if (net::to_text(net::parse_ticket(written, "ticket")) != written) std::abort();
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::corrupt) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  check<net::Request>(bytes, net::decode_request);
  check<net::Answer>(bytes, net::decode_answer);
  // What is refused because it is of another version is none of ours.
  if (net::foreign_request(bytes) &&
      std::holds_alternative<net::Request>(net::decode_request(bytes))) {
    std::abort();
  }
  // Nobody can sign what a fuzzer finds, but it is read before the signature is checked.
  if (std::holds_alternative<net::PeerRecord>(
          net::open({.record = {bytes.begin(), bytes.end()}, .signature = {}}))) {
    std::abort();
  }
  check_ticket({reinterpret_cast<const char*>(data), size});
  return 0;
}
