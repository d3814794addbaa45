// One session with one peer: a pure state machine. No socket, no clock, no thread.
//
// Told what the application wants, which paths open and vanish, which frames
// arrive and what time it is, it says which frame goes onto which path next. In
// between it sees to it that messages arrive exactly once and in order per
// channel over whatever paths there are, that a slow receiver bounds a fast
// sender, and that a peer that died, restarted, or belongs to another job is
// recognised and named.
//
// A path serves one channel. The first frame on it, both ways, is a hello, which
// carries what has arrived so far, so a new path simply continues where the last
// one broke off. A peer may be reached over several routes at once: of each route
// the path that was greeted last counts, all are kept warm with pings, and each
// lane sends over the one that its RouteChoice picks. A lane that moves begins
// with the oldest frame that is not acknowledged; what the old path still
// delivers counts too, and what comes twice is dropped by its number. So the two
// sides need not agree on a path, nor on the moment of a move.

#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "libcommon/base/clock.h"
#include "libcommon/base/error.h"
#include "libcommon/net/frame_receiver.h"
#include "libcommon/net/frame_sender.h"
#include "libcommon/net/introduction.h"
#include "libcommon/net/path_id.h"
#include "libcommon/net/path_watch.h"
#include "libcommon/net/route.h"
#include "libcommon/net/route_choice.h"
#include "libcommon/wire/frame.h"

namespace ptrain::net {

struct SessionOptions {
  StageIndex self;
  StageIndex peer{};
  std::string peer_name{};  // for people: "stage 1 at tcp://10.0.0.2:7001"
  Introduction introduction;
  std::uint64_t incarnation = 0;  // drawn once per process, not 0

  ByteCount credit_window{32u << 20};
  ByteCount message_limit{1u << 30};
  ByteCount keep_limit{64u << 20};  // unacknowledged frames, a channel

  Duration ack_delay = std::chrono::milliseconds(25);
  Duration ping_interval = std::chrono::seconds(1);
  Duration greeting_timeout = std::chrono::seconds(2);   // a path whose hello is not answered
  Duration stall_timeout = std::chrono::seconds(15);     // a path without any progress
  Duration silence_timeout = std::chrono::seconds(30);   // a peer of whom no path brings anything
  Duration reconnect_timeout = std::chrono::seconds(5);  // a peer whose paths ended
  Duration outage_timeout = std::chrono::seconds(300);   // a peer whose paths had fallen silent

  PathKinds allowed_kinds = PathKinds::all();     // for what we send
  Duration patience = std::chrono::seconds(1);    // for an answer, while another path gives some
  Duration trial_time = std::chrono::seconds(1);  // of a better path, before data goes over it
};

// Of a peer that nothing was heard of for so long when its last path ended, the link is out of
// order; one that was heard of until then has ended its connections itself, or its kernel has.
inline constexpr Duration kOutageSilence = std::chrono::seconds(2);

// Of a peer whose host goes on answering, at least so often, no link is out of order: it is silent.
inline constexpr Duration kAnswersOfHost = std::chrono::seconds(10);

// Pings in an interval, while a path is on trial.
inline constexpr int kTrialPings = 4;

class Session {
 public:
  enum class State {
    waiting,   // no hello of the peer yet
    open,      // messages flow
    departed,  // the peer said goodbye and everything before it has arrived
    failed,    // see failure()
  };

  struct Outgoing {
    PathId path;
    wire::Frame frame;
  };

  Session(SessionOptions options, TimePoint now);

  // The application's side.
  void send(wire::Message message);
  std::optional<wire::Message> receive();  // control before bulk
  void consumed(wire::Channel channel, std::uint64_t cost, TimePoint now);
  // From now on a stranger that claims the peer's place is turned away with a warning,
  // where before it ended the session, because the people who start the job should know.
  void settle() { settled_ = true; }
  void say_goodbye(bool failed, std::string reason);
  // From now on data goes only over paths of these kinds; the others stay warm.
  void allow(PathKinds kinds, TimePoint now);

  // The paths' side.
  void path_opened(PathId id, Route route, wire::Channel channel, TimePoint now);
  void path_lost(PathId id, TimePoint now);
  // An attempt to dial the peer got as far as its host's kernel.
  void host_answered(TimePoint now);
  void arrived(PathId id, wire::Frame frame, TimePoint now);
  void tick(TimePoint now);
  TimePoint next_tick() const;  // when tick() may have something to do

  // What goes out next; nullopt when there is nothing that may.
  std::optional<Outgoing> next_frame(TimePoint now);
  // Paths that are of no more use, to be closed by whoever made them.
  std::vector<PathId> take_discarded_paths(TimePoint now);
  std::vector<std::string> take_warnings();

  State state() const { return state_; }
  const std::optional<Error>& failure() const { return failure_; }
  // All that we sent and our goodbye are acknowledged, or there is nobody to wait for.
  bool drained() const;
  std::uint64_t queued_cost() const;
  std::uint64_t reconnects() const { return reconnects_; }
  std::uint64_t refused_frames() const { return refused_frames_; }
  std::uint64_t repeated_frames() const { return repeated_frames_; }
  // The path that a channel is sent over, and why that one.
  const RouteChoice& choice_of(wire::Channel channel) const { return lane(channel).choice; }
  // Of the control channel, where nothing queues.
  std::optional<Duration> round_trip() const;

 private:
  struct Lane {
    FrameSender out;
    FrameReceiver in;
    RouteChoice choice;   // among the greeted paths
    bool served = false;  // it has had a path before
  };
  struct PathState {
    PathId id;
    Route route;
    wire::Channel channel;
    bool greeted = false;   // the peer's hello has come
    bool hello_due = true;  // ours has not gone
    bool pong_due = false;
    bool ping_due = false;
    bool discarded = false;       // of no more use
    std::uint64_t last_ping = 0;  // of the peer's, to be answered
    TimePoint opened;
    TimePoint progress;  // when something last came of it
    PathWatch watch;
  };
  // A second process that claims to be our peer, until the first proves to be alive.
  struct Contender {
    std::uint64_t incarnation;
    bool first_lives = false;
  };

  void on(PathState& path, const wire::Hello& hello, TimePoint now);
  void on(PathState& path, wire::Data data, TimePoint now);
  void on(PathState& path, const wire::Acknowledgement& acknowledgement, TimePoint now);
  void on(PathState& path, const wire::Ping& ping, TimePoint now);
  void on(PathState& path, const wire::Goodbye& goodbye, TimePoint now);
  void on(PathState& path, const wire::Tally& tally, TimePoint now);

  std::optional<std::string> stranger_in(const wire::Hello& hello) const;
  void turn_away(PathState& path, const std::string& why);
  void contend(PathState& path, const wire::Hello& hello);
  void adopt(PathState& path, const wire::Hello& hello, TimePoint now);
  void take_report(const wire::Acknowledgement& report, TimePoint now);
  void leave_if_complete();
  void choose_path(wire::Channel channel, TimePoint now);
  void check_peer(TimePoint now);
  void check_paths(TimePoint now);
  bool nothing_exchanged() const;
  TimePoint absence_ends() const;  // without a path until then

  std::optional<Outgoing> next_service_frame(TimePoint now);
  wire::Hello hello(wire::Channel channel);
  wire::Acknowledgement report();
  wire::Ping ping(PathState& path, TimePoint now);
  std::optional<PathId> service_path() const;
  void owe_report(TimePoint when);
  void discard(PathState& path);
  void breach(const std::string& why);
  void unlink(PathId id, TimePoint now);
  void fail(ErrorKind kind, const std::string& what, std::string hint = "");

  bool carries_data(const PathState& path) const;
  TimePoint ping_at(const PathState& path, TimePoint now) const;
  Lane make_lane(wire::Channel channel) const;
  const PathState* find(PathId id) const;
  PathState* find(PathId id);
  Lane& lane(wire::Channel channel) { return lanes_[static_cast<std::size_t>(channel)]; }
  const Lane& lane(wire::Channel channel) const {
    return lanes_[static_cast<std::size_t>(channel)];
  }

  SessionOptions options_;
  std::array<Lane, wire::kChannels> lanes_;
  std::vector<PathState> paths_;
  std::vector<RouteChoice::Candidate> candidates_;  // memory that choose_path() uses again
  std::vector<PathId> discarded_;
  std::vector<std::string> warnings_;
  std::vector<Outgoing> farewells_;  // to paths that are turned away

  State state_ = State::waiting;
  std::optional<Error> failure_;
  bool settled_ = false;
  std::uint64_t peer_incarnation_ = 0;
  std::optional<Contender> contender_;
  TimePoint last_heard_;
  TimePoint pathless_since_;
  bool outage_ = false;                          // the last path had fallen silent
  std::optional<TimePoint> host_answers_since_;  // without a gap, in this outage
  TimePoint host_answered_;
  TimePoint ticked_;
  std::optional<TimePoint> report_due_;

  std::optional<wire::Goodbye> our_goodbye_;
  bool goodbye_due_ = false;
  bool goodbye_acknowledged_ = false;
  TimePoint goodbye_sent_;
  std::optional<wire::Goodbye> their_goodbye_;

  std::uint64_t reconnects_ = 0;
  std::uint64_t refused_frames_ = 0;
  std::uint64_t repeated_frames_ = 0;
};

}  // namespace ptrain::net
