// Two sessions that reach each other over several routes, in a time that only the
// test moves. Deterministic: all chance comes from one seed.
//
// A link here is what TCP makes of a connection: in order and whole while it
// lives. It may be slow, hold everything up for a while (a black hole), or die,
// with what is under way, and one side may hear of that later than the other.
// Frames pass through their encoding, as over a socket.

#pragma once

#include <deque>
#include <map>
#include <optional>
#include <random>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "libcommon/net/redial_pace.h"
#include "libcommon/net/session.h"
#include "libcommon/wire/envelope.h"

namespace ptrain::net {

struct FakeRoute {
  Route route;
  Duration latency = std::chrono::milliseconds(1);
  std::uint64_t bytes_per_ms = 0;        // each way and link; 0: any number
  std::size_t largest_frame = SIZE_MAX;  // a larger one blocks the link
  Duration redial = std::chrono::milliseconds(5);
  std::size_t bulk = 1;  // connections
  bool up = true;
  bool stalled = false;
  // When side 1, which dials, notices that a stalled link is dead, if it does; side 0 does not.
  // Attempts to dial then take kShortAttempt each.
  std::optional<Duration> given_up_after{};
};

inline SessionOptions route_options(std::uint32_t self) {
  return {.self = StageIndex(self),
          .peer = StageIndex(1 - self),
          .peer_name = "stage " + std::to_string(1 - self),
          .introduction = {.run = "r", .job_hash = "h", .stage_count = 2, .data_fingerprint = ""},
          .incarnation = 7 + self};
}

class FakeRoutes {
 public:
  FakeRoutes(SessionOptions side0, SessionOptions side1, std::vector<FakeRoute> routes,
             std::uint64_t seed = 1)
      : routes_(std::move(routes)), random_(seed) {
    sessions_.emplace_back(std::move(side0), now_);
    sessions_.emplace_back(std::move(side1), now_);
    for (const FakeRoute& route : routes_) {
      dial_at_.emplace_back(1 + route.bulk, now_);
    }
  }

  Session& side(int index) { return sessions_[static_cast<std::size_t>(index)]; }
  FakeRoute& route(std::size_t index) { return routes_[index]; }
  std::size_t routes() const { return routes_.size(); }
  TimePoint now() const { return now_; }

  // Its connections end; side 1 knows at once, side 0 some time later.
  void cut(std::size_t route) {
    for (auto& [id, link] : links_) {
      if (link.route == route) kill(id, link, 1);
    }
  }

  // A millisecond.
  void step() {
    now_ += std::chrono::milliseconds(1);
    give_up_stalled();
    dial_missing();
    for (int i = 0; i < 2; ++i) {
      side(i).tick(now_);
      while (auto outgoing = side(i).next_frame(now_)) put(i, *outgoing);
      for (const LinkId id : side(i).take_discarded_links(now_)) {
        const auto found = links_.find(id);
        if (found != links_.end()) close(found->second, id, i);
      }
      ASSERT_GT(side(i).next_tick(), now_) << "or a thread would spin";
    }
    deliver();
    tell_of_deaths();
  }

  void run(Duration duration) {
    for (const TimePoint end = now_ + duration; now_ < end;) {
      step();
      if (testing::Test::HasFatalFailure()) return;
    }
  }

 private:
  struct InFlight {
    std::vector<std::byte> header;
    wire::Buffer payload;
    TimePoint due;
    std::size_t size() const { return header.size() + payload.size(); }
  };
  struct FakeLink {
    std::size_t route;
    std::size_t line;  // 0 is for control
    wire::LinkIntroduction introduction;
    bool dead = false;
    bool known[2] = {false, true};  // whether the side has it, and has not heard of its death
    TimePoint told_at{};            // when the other side hears of its death
    TimePoint stalled_since{};
    std::deque<InFlight> towards[2];
    std::uint64_t budget[2] = {0, 0};
  };

  void give_up_stalled() {
    for (auto& [id, link] : links_) {
      if (link.dead) continue;
      const FakeRoute& route = routes_[link.route];
      if (!route.stalled) link.stalled_since = now_;
      if (!route.given_up_after || now_ < link.stalled_since + *route.given_up_after) continue;
      kill(id, link, 1);
      link.told_at = TimePoint::max();
    }
  }

  void dial_missing() {
    for (std::size_t route = 0; route < routes_.size(); ++route) {
      if (routes_[route].stalled && routes_[route].given_up_after) {
        for (TimePoint& dial_at : dial_at_[route]) {
          if (now_ >= dial_at) dial_at += kShortAttempt;
        }
      }
      if (!routes_[route].up || routes_[route].stalled) continue;
      for (std::size_t line = 0; line <= routes_[route].bulk; ++line) {
        if (alive(route, line)) continue;
        if (now_ < dial_at_[route][line]) continue;
        const LinkId id(++last_id_);
        FakeLink& link = links_[id];
        link.route = route;
        link.line = line;
        link.introduction = {.purpose = line == 0 ? wire::Purpose::control : wire::Purpose::bulk,
                             .number = id.value(),
                             .line = 100 * route + line};
        side(1).link_opened(id, routes_[route].route, link.introduction, now_);
      }
    }
  }

  bool alive(std::size_t route, std::size_t line) const {
    for (const auto& [id, link] : links_) {
      if (link.route == route && link.line == line && !link.dead) return true;
    }
    return false;
  }

  // `by` is the side that knows at once.
  void kill(LinkId id, FakeLink& link, int by) {
    if (link.dead) return;
    link.dead = true;
    link.told_at = now_ + std::chrono::milliseconds(random_() % 300);
    dial_at_[link.route][link.line] = now_ + routes_[link.route].redial;
    if (std::exchange(link.known[by], false)) side(by).link_lost(id, now_);
    for (auto& queue : link.towards) queue.clear();
  }

  void close(FakeLink& link, LinkId id, int by) {
    link.known[by] = false;
    kill(id, link, by);
  }

  void tell_of_deaths() {
    for (auto it = links_.begin(); it != links_.end();) {
      auto& [id, link] = *it;
      const bool unknown = !link.known[0] && !link.known[1];
      if (!link.dead || (now_ < link.told_at && !unknown)) {
        ++it;
        continue;
      }
      for (int i = 0; i < 2; ++i) {
        if (std::exchange(link.known[i], false)) side(i).link_lost(id, now_);
      }
      it = links_.erase(it);
    }
  }

  void put(int from, const Session::Outgoing& outgoing) {
    const auto found = links_.find(outgoing.link);
    if (found == links_.end() || found->second.dead) return;
    InFlight frame{wire::encode_header(outgoing.frame, outgoing.ordinal), {}, now_};
    frame.due += routes_[found->second.route].latency;
    if (const auto* data = std::get_if<wire::Data>(&outgoing.frame)) frame.payload = data->payload;
    found->second.towards[1 - from].push_back(std::move(frame));
  }

  void deliver() {
    for (auto& [id, link] : links_) {
      const FakeRoute& route = routes_[link.route];
      if (link.dead || route.stalled) continue;
      for (int to = 0; to < 2; ++to) {
        auto& queue = link.towards[to];
        link.budget[to] = queue.empty() ? 0 : link.budget[to] + route.bytes_per_ms;
        while (!queue.empty() && queue.front().due <= now_ && !link.dead) {
          const std::size_t size = queue.front().size();
          if (size > route.largest_frame) break;
          if (route.bytes_per_ms > 0 && link.budget[to] < size) break;
          link.budget[to] -= route.bytes_per_ms > 0 ? size : 0;
          InFlight frame = std::move(queue.front());
          queue.pop_front();
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
    if (to == 0 && !link.known[0]) {
      if (!std::holds_alternative<wire::Hello>(body)) return;  // side 0 has closed it
      link.known[0] = true;
      side(0).link_opened(id, routes_[link.route].route, link.introduction, now_);
    }
    if (link.known[to]) side(to).arrived(id, std::move(body), ordinal, now_);
  }

  std::vector<FakeRoute> routes_;
  std::mt19937_64 random_;
  TimePoint now_{};
  std::vector<Session> sessions_;
  std::map<LinkId, FakeLink> links_;
  std::vector<std::vector<TimePoint>> dial_at_;
  std::uint64_t last_id_ = 0;
};

}  // namespace ptrain::net
