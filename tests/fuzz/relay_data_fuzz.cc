// Fuzzes what strangers say to a relay's data port and to its echo, byte for byte as they like it:
// a handshake ends with a token or a refusal, however it is cut into pieces, and asks for no more
// than the longest one has.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>

#include "tools/relay/carrier/echo_format.h"
#include "tools/relay/carrier/socks_handshake.h"

namespace {

using namespace ptrain::relay;

constexpr std::size_t kLongestPart = 255 + 2;

// The token that comes of it, and whether it is over, reading at most `step` bytes at a time.
struct Outcome {
  bool over = false;
  std::optional<std::string> token;
  std::string answers;
  bool operator==(const Outcome&) const = default;
};

Outcome shake_hands(std::string_view said, std::size_t step) {
  SocksHandshake handshake;
  Outcome outcome;
  while (handshake.wanted() > 0 && !said.empty()) {
    if (handshake.wanted() > kLongestPart) std::abort();
    const std::size_t size = std::min({handshake.wanted(), said.size(), step});
    outcome.answers += handshake.take(said.substr(0, size));
    said.remove_prefix(size);
  }
  outcome.over = handshake.wanted() == 0;
  if (outcome.over) outcome.token = handshake.token();
  if (!outcome.over && outcome.token) std::abort();
  return outcome;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const Outcome whole = shake_hands(text, kLongestPart);
  if (shake_hands(text, 1) != whole || shake_hands(text, 7) != whole) std::abort();
  const auto nonce = read_echo_request(std::span(data, size));
  if (nonce && size != kEchoRequestBytes) std::abort();
  return 0;
}
