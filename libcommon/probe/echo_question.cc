#include "libcommon/probe/echo_question.h"

#include <algorithm>
#include <cstring>
#include <string_view>

namespace ptrain::probe {
namespace {

constexpr std::string_view kQuestionMagic = "ptrecho?";
constexpr std::string_view kAnswerMagic = "ptrecho!";
constexpr std::size_t kNonceAt = 8;
constexpr std::size_t kHowAt = 16;
constexpr std::size_t kToPortAt = 17;
constexpr std::size_t kFamilyAt = 16;
constexpr std::size_t kPortAt = 18;
constexpr std::size_t kAddressAt = 20;
constexpr std::uint8_t kV4 = 4, kV6 = 6;

bool begins_with(std::span<const std::uint8_t> bytes, std::string_view magic) {
  return bytes.size() >= magic.size() && std::equal(magic.begin(), magic.end(), bytes.begin());
}

EchoNonce nonce_in(std::span<const std::uint8_t> bytes) {
  EchoNonce nonce;
  std::copy_n(bytes.begin() + kNonceAt, nonce.size(), nonce.begin());
  return nonce;
}

}  // namespace

EchoQuestionBytes to_bytes(const EchoQuestion& question) {
  EchoQuestionBytes bytes{};
  std::copy(kQuestionMagic.begin(), kQuestionMagic.end(), bytes.begin());
  std::copy(question.nonce.begin(), question.nonce.end(), bytes.begin() + kNonceAt);
  bytes[kHowAt] = static_cast<std::uint8_t>(question.answer);
  bytes[kToPortAt] = static_cast<std::uint8_t>(question.to_port >> 8);
  bytes[kToPortAt + 1] = static_cast<std::uint8_t>(question.to_port & 0xff);
  return bytes;
}

std::optional<EchoNonce> read_echo_question(std::span<const std::uint8_t> bytes) {
  if (bytes.size() != kEchoQuestionBytes || !begins_with(bytes, kQuestionMagic)) {
    return std::nullopt;
  }
  return nonce_in(bytes);
}

std::optional<EchoAnswer> read_echo_answer(std::span<const std::uint8_t> bytes) {
  if (bytes.size() != kEchoAnswerBytes || !begins_with(bytes, kAnswerMagic)) return std::nullopt;
  EchoAnswer answer{.nonce = nonce_in(bytes), .seen = {}};
  answer.seen.port = static_cast<std::uint16_t>(bytes[kPortAt] << 8 | bytes[kPortAt + 1]);
  auto& host = answer.seen.host;
  if (bytes[kFamilyAt] == kV4) {
    host[10] = host[11] = 0xff;
    std::memcpy(host.data() + 12, &bytes[kAddressAt], 4);
  } else if (bytes[kFamilyAt] == kV6) {
    std::memcpy(host.data(), &bytes[kAddressAt], host.size());
  } else {
    return std::nullopt;
  }
  return answer;
}

}  // namespace ptrain::probe
