// Meshes of a small job on this machine, for tests that use real sockets.

#pragma once

#include <algorithm>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "libcommon/base/clock.h"
#include "libcommon/base/error.h"
#include "libcommon/base/log.h"
#include "libcommon/net/mesh.h"

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

inline Introduction test_introduction() {
  return {.run = "run-1", .job_hash = "cafe", .stage_count = 2, .data_fingerprint = "d00d"};
}

inline MeshOptions options_of(std::uint32_t self, const std::string& listen,
                              const std::vector<std::pair<std::uint32_t, std::string>>& peers) {
  MeshOptions options;
  options.self = StageIndex(self);
  options.listen = parse_endpoint(listen);
  for (const auto& [stage, endpoint] : peers) {
    options.peers.push_back({StageIndex(stage), parse_endpoint(endpoint)});
  }
  options.introduction = test_introduction();
  options.connect_timeout = std::chrono::seconds(20);
  options.silence_timeout = std::chrono::seconds(6);
  options.reconnect_timeout = std::chrono::seconds(2);
  return options;
}

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
  return message.name == expected.name && message.tensor == expected.tensor &&
         std::ranges::equal(message.payload.bytes(), expected.payload.bytes());
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

// Stage 0, listening, and stage 1, dialling it: started, introduced.
struct Pair {
  SteadyClock clock;
  RecordingLog log0;
  RecordingLog log1;
  std::unique_ptr<Mesh> stage0;
  std::unique_ptr<Mesh> stage1;

  explicit Pair(
      const std::string& listen = "tcp://127.0.0.1:0",
      void (*adjust)(MeshOptions&) = [](MeshOptions&) {}) {
    const std::string listen1 = listen.starts_with("ipc") ? listen + "-1" : listen;
    MeshOptions first = options_of(0, listen, {{1, "tcp://127.0.0.1:1"}});
    adjust(first);
    stage0 = std::make_unique<Mesh>(first, log0, clock);
    MeshOptions second = options_of(1, listen1, {{0, to_string(stage0->listening())}});
    adjust(second);
    stage1 = std::make_unique<Mesh>(second, log1, clock);
    stage0->await_peers();
    stage1->await_peers();
  }
};

}  // namespace ptrain::net
