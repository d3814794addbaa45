// The sockets of punching: holes, what is begun from them and who comes to them, and the questions
// to echoes.
//
// Everything is non-blocking, on the network thread, and watched by one epoll instance, which is
// what the loop watches. Limits: kMostCallers who came and have not greeted yet (of more, the
// oldest ends) and kGreetingTime each; a stranger gets no byte. To an address that a peer has named
// go kMostPunchTries connections of an attempt, and to who takes one a hello of 80 bytes.

#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "libcommon/base/random_source.h"
#include "libcommon/net/echo_question.h"
#include "libcommon/net/punch_hole.h"
#include "libcommon/net/punching.h"

namespace ptrain::net {

inline constexpr std::size_t kMostCallers = 64;
inline constexpr Duration kGreetingTime = std::chrono::seconds(2);
inline constexpr Duration kEchoTime = std::chrono::milliseconds(1500);

class PunchDesk final : public Punching {
 public:
  // `random` outlives the object. Throws Error(io) where a port cannot be had, or not watched.
  PunchDesk(PunchingOptions options, RandomSource& random);
  ~PunchDesk() override;

  void add_poll_items(std::vector<PollItem>& items) override;
  void process(TimePoint now) override;
  TimePoint next_tick() const override;

  void ask(const EchoPlace& echo, TimePoint now) override;
  bool asking() const override { return !questions_.empty(); }
  void set_outside(const std::vector<OutsidePort>& ports) override;
  std::vector<HoleFacts> holes() const override;
  NatMapping mapping() const override;

  void open_line(const PunchLine& line) override { lines_.try_emplace(line); }
  void close_line(const PunchLine& line) override;
  void want(const PunchLine& line, bool wanted) override;
  void begin(const PunchLine& line, std::vector<PunchTarget> targets, TimePoint at) override;
  std::optional<PunchedConnection> take(const PunchLine& line) override;
  PunchAttempt attempt(const PunchLine& line) const override;

 private:
  using Id = std::uint64_t;  // of a socket, in order of their beginnings

  struct Hole {
    PunchHole socket;
    std::optional<Endpoint> mapped{};   // by a router
    std::optional<Endpoint> seen[2]{};  // by each port of an echo
  };
  struct Line {
    bool wanted = true;
    std::optional<PunchLadder> ladder{};
    std::optional<Endpoint> came_from{};
    std::optional<PunchedConnection> won{};
  };
  struct Listener {
    std::size_t hole;
    int fd;
  };
  // A connection with somebody, from its beginning until it is chosen or of no use.
  struct Meeting {
    os::FileDescriptor socket;
    std::size_t hole = 0;
    Endpoint at;
    std::optional<PunchLine> line{};  // whom we want
    std::size_t rung = 0;             // of its ladder
    bool they_came = false;
    std::optional<PunchGreeting> greeting{};  // none while it is being connected
    TimePoint ends{};
  };
  struct Question {
    os::FileDescriptor socket;
    std::size_t hole = 0;
    std::size_t port = 0;
    EchoCookie cookie{};
    bool asked = false;
    std::vector<std::byte> answer{};
    TimePoint ends{};
  };

  // What the kernel says, 0 if nothing: it has no room for more, and that one socket is of no use.
  [[nodiscard]] int watch(Id id, int fd, std::uint32_t events);
  void on_ready(Id id, TimePoint now);
  void on_callers(const Listener& listener, TimePoint now);
  void on_meeting(Id id, TimePoint now);
  void on_connected(Meeting& meeting, TimePoint now);
  void on_question(Id id);
  void connect_due(const PunchLine& name, Line& line, TimePoint now);
  void greet(Id id, Meeting& meeting, TimePoint now);
  bool flush(Meeting& meeting);
  void decide(Id id, Meeting& meeting, TimePoint now);
  void win(Id id, const PunchLine& name, TimePoint now);
  void fail(Id id, PunchLadder::Outcome outcome, const std::string& why, TimePoint now);
  void end_meetings_of(const PunchLine& name);
  void end_overdue(TimePoint now);
  std::optional<PunchLine> find(std::size_t hole, bool we_dial,
                                const std::function<bool(const PunchLine&)>& is_theirs) const;

  PunchingOptions options_;
  RandomSource& random_;
  os::FileDescriptor epoll_;
  std::vector<Hole> holes_;
  Id last_id_ = 0;
  std::map<Id, Listener> listeners_;
  std::map<Id, Meeting> meetings_;
  std::map<Id, Question> questions_;
  std::map<PunchLine, Line> lines_;
};

}  // namespace ptrain::net
