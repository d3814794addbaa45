// Two sessions joined by paths that lose, double, swap, damage and break, in a
// time that only the test moves. Deterministic: all chance comes from one seed.
//
// Frames pass through their encoding, so what arrives is what a socket would bring.

#pragma once

#include <algorithm>
#include <deque>
#include <map>
#include <optional>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "libcommon/net/session.h"
#include "libcommon/wire/envelope.h"

namespace ptrain::net {

struct Misfortune {
  double lose = 0;        // of frames
  double twice = 0;       // of frames
  double swap = 0;        // of frames, with the one before
  double damage = 0;      // of data frames
  double break_path = 0;  // of milliseconds
};

inline SessionOptions fake_options(std::uint32_t self, std::uint64_t incarnation) {
  return {.self = StageIndex(self),
          .peer = StageIndex(1 - self),
          .peer_name = "stage " + std::to_string(1 - self),
          .introduction = {.run = "r", .job_hash = "h", .stage_count = 2, .data_fingerprint = ""},
          .incarnation = incarnation,
          .credit_window = ByteCount(kMinCreditWindow),
          .message_limit = ByteCount(64u << 20),
          .ack_delay = std::chrono::milliseconds(5),
          .ping_interval = std::chrono::milliseconds(50),
          .greeting_timeout = std::chrono::milliseconds(100),
          .stall_timeout = std::chrono::milliseconds(500),
          .silence_timeout = std::chrono::seconds(600),
          .reconnect_timeout = std::chrono::seconds(600)};
}

// Side 0 accepts paths, side 1 makes them.
class FakeNetwork {
 public:
  FakeNetwork(SessionOptions side0, SessionOptions side1, Misfortune misfortune, std::uint64_t seed)
      : misfortune_(misfortune), random_(seed) {
    sessions_.emplace_back(std::move(side0), now_);
    sessions_.emplace_back(std::move(side1), now_);
  }

  Session& side(int index) { return sessions_[static_cast<std::size_t>(index)]; }
  TimePoint now() const { return now_; }
  void set_misfortune(Misfortune misfortune) { misfortune_ = misfortune; }
  std::uint64_t frames_sent() const { return frames_sent_; }
  void stop_dialling() { dialling_ = false; }
  void break_all_paths() {
    while (!paths_.empty()) break_path(paths_.begin()->first);
  }

  // A millisecond: new paths, frames out, frames in, timers.
  void step() {
    now_ += std::chrono::milliseconds(1);
    if (dialling_) dial_missing();
    for (int i = 0; i < 2; ++i) {
      side(i).tick(now_);
      while (auto outgoing = side(i).next_frame(now_)) put(i, *outgoing);
      for (const PathId id : side(i).take_discarded_paths(now_)) break_path(id);
    }
    for (auto& [id, path] : paths_) {
      if (chance(misfortune_.break_path)) path.doomed = true;
    }
    for (bool broken = true; broken;) {
      broken = false;
      for (auto& [id, path] : paths_) {
        if (!path.doomed) continue;
        break_path(id);
        broken = true;
        break;
      }
    }
    deliver();
  }

 private:
  struct InFlight {
    std::vector<std::byte> header;
    wire::Buffer payload;
  };
  struct FakePath {
    wire::Channel channel;
    bool known_to_listener = false;
    bool doomed = false;
    std::deque<InFlight> towards[2];
  };

  bool chance(double probability) {
    return probability > 0 && std::uniform_real_distribution<>(0, 1)(random_) < probability;
  }

  void dial_missing() {
    for (const auto channel : {wire::Channel::control, wire::Channel::bulk}) {
      const bool there = std::any_of(paths_.begin(), paths_.end(), [&](const auto& entry) {
        return entry.second.channel == channel;
      });
      if (there || chance(0.7)) continue;
      const PathId id(++last_id_);
      paths_[id].channel = channel;
      side(1).path_opened(id, Route{}, channel, now_);
    }
  }

  void break_path(PathId id) {
    const auto found = paths_.find(id);
    if (found == paths_.end()) return;
    if (found->second.known_to_listener) side(0).path_lost(id, now_);
    side(1).path_lost(id, now_);
    paths_.erase(found);
  }

  void put(int from, const Session::Outgoing& outgoing) {
    ++frames_sent_;
    const auto found = paths_.find(outgoing.path);
    if (found == paths_.end() || chance(misfortune_.lose)) return;
    InFlight frame{wire::encode_header(outgoing.frame), {}};
    if (const auto* data = std::get_if<wire::Data>(&outgoing.frame)) {
      frame.payload = data->payload;
      if (!frame.payload.empty() && chance(misfortune_.damage)) {
        auto bytes = frame.payload.bytes();
        std::vector<std::byte> copy(bytes.begin(), bytes.end());
        copy[copy.size() / 2] ^= std::byte{1};
        frame.payload = wire::Buffer::copy_of(copy);
      }
    }
    auto& queue = found->second.towards[1 - from];
    queue.push_back(frame);
    if (chance(misfortune_.twice)) queue.push_back(frame);
    if (queue.size() > 1 && chance(misfortune_.swap))
      std::swap(queue.back(), queue[queue.size() - 2]);
  }

  void deliver() {
    for (auto& [id, path] : paths_) {
      for (int to = 0; to < 2; ++to) {
        // Some of what is under way stays under way.
        std::size_t count = path.towards[to].size();
        if (count > 0 && chance(0.3))
          count = std::uniform_int_distribution<std::size_t>(0, count)(random_);
        for (; count > 0; --count) {
          InFlight frame = std::move(path.towards[to].front());
          path.towards[to].pop_front();
          arrive(id, path, to, std::move(frame));
        }
      }
    }
  }

  void arrive(PathId id, FakePath& path, int to, InFlight frame) {
    auto decoded = wire::decode_frame(frame.header, std::move(frame.payload));
    ASSERT_TRUE(std::holds_alternative<wire::Frame>(decoded))
        << std::get<wire::Malformed>(decoded).why;
    auto& body = std::get<wire::Frame>(decoded);
    if (to == 0 && !path.known_to_listener) {
      if (!std::holds_alternative<wire::Hello>(body)) return;
      path.known_to_listener = true;
      side(0).path_opened(id, Route{}, path.channel, now_);
    }
    side(to).arrived(id, std::move(body), now_);
  }

  Misfortune misfortune_;
  std::mt19937_64 random_;
  TimePoint now_{};
  std::vector<Session> sessions_;
  std::map<PathId, FakePath> paths_;
  std::uint64_t last_id_ = 0;
  std::uint64_t frames_sent_ = 0;
  bool dialling_ = true;
};

}  // namespace ptrain::net
