// Messages, logs and errors for tests of what carries messages.

#pragma once

#include <cstring>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "libcommon/base/error.h"
#include "libcommon/base/log.h"
#include "libcommon/net/session.h"
#include "libcommon/wire/message.h"

namespace ptrain::net {

// Keeps what was said, to be looked at.
class RecordingLog final : public Log {
 public:
  void info(std::string_view line) override { add(line); }
  void warning(std::string_view line) override { add(line); }
  std::vector<std::string> lines() const {
    const std::lock_guard lock(mutex_);
    return lines_;
  }
  std::string all() const {
    std::string text;
    for (const auto& line : lines()) text += line + "\n";
    return text;
  }

 private:
  void add(std::string_view line) {
    const std::lock_guard lock(mutex_);
    lines_.emplace_back(line);
  }
  mutable std::mutex mutex_;
  std::vector<std::string> lines_;
};

inline wire::Message test_message(std::uint32_t source, std::uint64_t step, std::size_t bytes,
                                  wire::MessageKind kind = wire::MessageKind::activation) {
  wire::MutableBuffer payload(bytes);
  for (std::size_t i = 0; i < bytes; ++i) {
    payload.data()[i] = static_cast<std::byte>((step * 131 + i * 7 + (i >> 12)) & 0xff);
  }
  return {.name = {.epoch = 0,
                   .step = Step(step),
                   .microbatch = MicrobatchIndex(0),
                   .kind = kind,
                   .source = StageIndex(source)},
          .tensor = {},
          .payload = std::move(payload).freeze()};
}

inline bool holds(const wire::Message& message, const wire::Message& expected) {
  const std::size_t bytes = expected.payload.size();
  return message.name == expected.name && message.tensor == expected.tensor &&
         message.payload.size() == bytes &&
         (bytes == 0 || std::memcmp(message.payload.data(), expected.payload.data(), bytes) == 0);
}

// Runs `body`, which must throw an Error of `kind`, and returns its text and hint.
template <class Body>
std::string error_text(ErrorKind kind, Body body) {
  try {
    body();
  } catch (const Error& error) {
    EXPECT_EQ(static_cast<int>(error.kind()), static_cast<int>(kind)) << error.what();
    return std::string(error.what()) + "\n" + error.hint();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

// With the urgency that its kind has.
inline void send(Session& session, wire::Message message) {
  session.send(wire::urgency_of(message.name.kind), std::move(message));
}
inline std::optional<wire::Message> take(Session& session) {
  auto received = session.receive();
  if (!received) return std::nullopt;
  return std::move(received->message);
}

}  // namespace ptrain::net
