// What is asked of a relay's echo, and what that says (ptrain-net(7), ECHO): where the question
// came from. Pure.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "libcommon/probe/socket_address.h"

namespace ptrain::probe {

inline constexpr std::size_t kEchoQuestionBytes = 64;
inline constexpr std::size_t kEchoAnswerBytes = 36;

using EchoNonce = std::array<std::uint8_t, 8>;

struct EchoQuestion {
  enum class Answer : std::uint8_t { straight, from_other_port, to_other_port };
  EchoNonce nonce{};
  Answer answer = Answer::straight;
  std::uint16_t to_port = 0;  // with to_other_port: of the address that asks
  bool operator==(const EchoQuestion&) const = default;
};
using EchoQuestionBytes = std::array<std::uint8_t, kEchoQuestionBytes>;
EchoQuestionBytes to_bytes(const EchoQuestion& question);
// Of one that has come back, as a hairpin makes it. nullopt if that is none.
std::optional<EchoNonce> read_echo_question(std::span<const std::uint8_t> bytes);

struct EchoAnswer {
  EchoNonce nonce{};
  SocketAddress seen;
};
// nullopt if that is none.
std::optional<EchoAnswer> read_echo_answer(std::span<const std::uint8_t> bytes);

}  // namespace ptrain::probe
