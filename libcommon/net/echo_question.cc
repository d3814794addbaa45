#include "libcommon/net/echo_question.h"

#include <algorithm>
#include <string>
#include <string_view>

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>

namespace ptrain::net {
namespace {

constexpr std::string_view kQuestion = "ptrecho?";
constexpr std::string_view kAnswer = "ptrecho!";
constexpr std::size_t kCookieAt = 8;
constexpr std::size_t kFamilyAt = 16;
constexpr std::size_t kPortAt = 18;
constexpr std::size_t kAddressAt = 20;

}  // namespace

std::array<std::byte, kEchoQuestionBytes> echo_question(const EchoCookie& cookie) {
  std::array<std::byte, kEchoQuestionBytes> question{};
  std::ranges::copy(std::as_bytes(std::span(kQuestion)), question.begin());
  std::ranges::copy(cookie, question.begin() + kCookieAt);
  return question;
}

std::optional<Endpoint> read_echo_answer(std::span<const std::byte> answer,
                                         const EchoCookie& cookie) {
  if (answer.size() != kEchoAnswerBytes ||
      !std::ranges::equal(answer.first(kAnswer.size()), std::as_bytes(std::span(kAnswer))) ||
      !std::ranges::equal(answer.subspan(kCookieAt, cookie.size()), cookie)) {
    return std::nullopt;
  }
  const auto family = std::to_integer<int>(answer[kFamilyAt]);
  char text[INET6_ADDRSTRLEN] = "";
  if (family != 4 && family != 6) return std::nullopt;
  ::inet_ntop(family == 4 ? AF_INET : AF_INET6, answer.data() + kAddressAt, text, sizeof text);
  Endpoint seen;
  seen.host = family == 4 ? std::string(text) : fmt::format("[{}]", text);
  seen.port = static_cast<std::uint16_t>(std::to_integer<unsigned>(answer[kPortAt]) << 8 |
                                         std::to_integer<unsigned>(answer[kPortAt + 1]));
  if (seen.port == 0) return std::nullopt;
  return seen;
}

}  // namespace ptrain::net
