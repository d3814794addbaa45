// What is asked of a relay's echo, and what the answer says: from where the question came
// (ptrain-net(7), ECHO). Pure.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "libcommon/net/endpoint.h"

namespace ptrain::net {

inline constexpr std::size_t kEchoQuestionBytes = 64;
inline constexpr std::size_t kEchoAnswerBytes = 36;
using EchoCookie = std::array<std::byte, 8>;

std::array<std::byte, kEchoQuestionBytes> echo_question(const EchoCookie& cookie);

// The address and port; nullopt if that is no answer to the question with this cookie.
std::optional<Endpoint> read_echo_answer(std::span<const std::byte> answer,
                                         const EchoCookie& cookie);

}  // namespace ptrain::net
