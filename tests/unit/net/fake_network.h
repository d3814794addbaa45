// Two sessions joined by connections that lose, damage and break, in a time that only the test
// moves. A connection that loses or doubles a frame has to be noticed, and replaced. Deterministic:
// all chance comes from one seed.
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
  double damage = 0;      // of data frames
  double break_link = 0;  // of milliseconds
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

// Side 0 accepts connections, side 1 makes them: one for control, and `bulk` of them.
class FakeNetwork {
 public:
  FakeNetwork(SessionOptions side0, SessionOptions side1, Misfortune misfortune, std::uint64_t seed,
              std::size_t bulk = 1)
      : misfortune_(misfortune), lines_(1 + bulk), random_(seed) {
    sessions_.emplace_back(std::move(side0), now_);
    sessions_.emplace_back(std::move(side1), now_);
  }

  Session& side(int index) { return sessions_[static_cast<std::size_t>(index)]; }
  TimePoint now() const { return now_; }
  void set_misfortune(Misfortune misfortune) { misfortune_ = misfortune; }
  std::uint64_t frames_sent() const { return frames_sent_; }
  void stop_dialling() { dialling_ = false; }
  void break_link_of_line(std::uint64_t line) {
    const auto found = std::ranges::find_if(
        links_, [&](const auto& entry) { return entry.second.introduction.line == line; });
    if (found != links_.end()) break_link(found->first);
  }
  void break_all_links() {
    while (!links_.empty()) break_link(links_.begin()->first);
  }

  // A millisecond: new links, frames out, frames in, timers.
  void step() {
    now_ += std::chrono::milliseconds(1);
    if (dialling_) dial_missing();
    for (int i = 0; i < 2; ++i) {
      side(i).tick(now_);
      while (auto outgoing = side(i).next_frame(now_)) put(i, *outgoing);
      for (const LinkId id : side(i).take_discarded_links(now_)) break_link(id);
    }
    for (auto& [id, link] : links_) {
      if (chance(misfortune_.break_link)) link.doomed = true;
    }
    for (bool broken = true; broken;) {
      broken = false;
      for (auto& [id, link] : links_) {
        if (!link.doomed) continue;
        break_link(id);
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
  struct FakeLink {
    wire::LinkIntroduction introduction;
    bool known_to_listener = false;
    bool doomed = false;
    std::deque<InFlight> towards[2];
  };

  bool chance(double probability) {
    return probability > 0 && std::uniform_real_distribution<>(0, 1)(random_) < probability;
  }

  void dial_missing() {
    for (std::uint64_t line = 0; line < lines_; ++line) {
      const bool there = std::any_of(links_.begin(), links_.end(), [&](const auto& entry) {
        return entry.second.introduction.line == line;
      });
      if (there || chance(0.7)) continue;
      const LinkId id(++last_id_);
      links_[id].introduction = {
          .purpose = line == 0 ? wire::Purpose::control : wire::Purpose::bulk,
          .number = id.value(),
          .line = line};
      side(1).link_opened(id, Route{}, links_[id].introduction, now_);
    }
  }

  void break_link(LinkId id) {
    const auto found = links_.find(id);
    if (found == links_.end()) return;
    if (found->second.known_to_listener) side(0).link_lost(id, now_);
    side(1).link_lost(id, now_);
    links_.erase(found);
  }

  void put(int from, const Session::Outgoing& outgoing) {
    ++frames_sent_;
    const auto found = links_.find(outgoing.link);
    if (found == links_.end() || chance(misfortune_.lose)) return;
    InFlight frame{wire::encode_header(outgoing.frame, outgoing.ordinal), {}};
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
  }

  void deliver() {
    for (auto& [id, link] : links_) {
      for (int to = 0; to < 2; ++to) {
        // Some of what is under way stays under way.
        std::size_t count = link.towards[to].size();
        if (count > 0 && chance(0.3))
          count = std::uniform_int_distribution<std::size_t>(0, count)(random_);
        for (; count > 0; --count) {
          InFlight frame = std::move(link.towards[to].front());
          link.towards[to].pop_front();
          arrive(id, link, to, std::move(frame));
        }
      }
    }
  }

  void arrive(LinkId id, FakeLink& link, int to, InFlight frame) {
    auto decoded = wire::decode_frame(frame.header, std::move(frame.payload));
    ASSERT_TRUE(std::holds_alternative<wire::NumberedFrame>(decoded))
        << std::get<wire::Malformed>(decoded).why;
    auto& [body, ordinal] = std::get<wire::NumberedFrame>(decoded);
    if (to == 0 && !link.known_to_listener) {
      if (!std::holds_alternative<wire::Hello>(body)) return;
      link.known_to_listener = true;
      side(0).link_opened(id, Route{}, link.introduction, now_);
    }
    side(to).arrived(id, std::move(body), ordinal, now_);
  }

  Misfortune misfortune_;
  std::size_t lines_;
  std::mt19937_64 random_;
  TimePoint now_{};
  std::vector<Session> sessions_;
  std::map<LinkId, FakeLink> links_;
  std::uint64_t last_id_ = 0;
  std::uint64_t frames_sent_ = 0;
  bool dialling_ = true;
};

}  // namespace ptrain::net
