// Meshes of a small job on this machine, for tests that use real sockets.

#pragma once

#include <algorithm>
#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "libcommon/base/clock.h"
#include "libcommon/base/error.h"
#include "libcommon/base/log.h"
#include "libcommon/net/mesh.h"
#include "tests/unit/net/messages.h"

namespace ptrain::net {

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

// A goodbye comes after what was acknowledged before it was said.
inline bool departs(const Mesh& mesh, StageIndex peer) {
  for (int i = 0; i < 2000 && !mesh.departed(peer); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return mesh.departed(peer);
}

// Its path to that peer, as soon as `text` is in it: more connections come after the first.
inline std::string path_with(const std::string& text, const Mesh& mesh, StageIndex peer) {
  std::string path = mesh.traffic(peer).path;
  for (int i = 0; i < 2000 && path.find(text) == std::string::npos; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    path = mesh.traffic(peer).path;
  }
  return path;
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
