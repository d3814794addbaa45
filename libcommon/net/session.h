// One session with one peer: a pure state machine. No socket, no clock, no thread.
//
// Told what the application wants, which links open and vanish, which frames arrive and what time
// it is, it says which frame goes onto which link next. In between it sees to it that messages
// arrive exactly once, and in order among those of one urgency, over whatever links there are, that
// a slow receiver bounds a fast sender, and that a peer that died, restarted, or belongs to another
// job is recognised and named.
//
// A link is one connection, for control or for bulk. The first frame on it, both ways, is a hello,
// which says what has arrived so far. A peer may be reached over several routes at once; all are
// kept warm with pings, and of those of a purpose the RouteChoice picks the route that is sent
// over: all links of it that answer, the one with the least under way first. The sequence numbers
// of the session put frames back into order, whichever link they came over. Each side reports which
// frames have come over which link; so a link that breaks, or stalls, costs what was on it: that is
// sent again over others, and what comes twice is dropped by its number. The two sides need not
// agree on a link, nor on the moment of a move.

#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "libcommon/base/clock.h"
#include "libcommon/base/error.h"
#include "libcommon/net/frame_receiver.h"
#include "libcommon/net/frame_sender.h"
#include "libcommon/net/introduction.h"
#include "libcommon/net/link_id.h"
#include "libcommon/net/link_watch.h"
#include "libcommon/net/route.h"
#include "libcommon/net/route_choice.h"
#include "libcommon/wire/frame.h"

namespace ptrain::net {

struct SessionOptions {
  StageIndex self;
  StageIndex peer{};
  std::string peer_name{};  // for people: "stage 1 at tcp://10.0.0.2:7001"
  Introduction introduction;
  std::uint64_t incarnation = 0;  // drawn once for each session, not 0

  ByteCount credit_window{32u << 20};  // of each urgency
  ByteCount message_limit{1u << 30};
  ByteCount keep_limit{64u << 20};  // unacknowledged frames, of each urgency

  Duration ack_delay = std::chrono::milliseconds(25);
  Duration ping_interval = std::chrono::seconds(1);
  // A link whose hello is not answered; each of its successors has twice as long, until one is.
  Duration greeting_timeout = std::chrono::seconds(2);
  Duration stall_timeout = std::chrono::seconds(15);     // a link without any progress
  Duration silence_timeout = std::chrono::seconds(30);   // a peer of whom no link brings anything
  Duration reconnect_timeout = std::chrono::seconds(5);  // a peer whose links ended
  Duration absence_timeout = std::chrono::milliseconds(800);  // one that is known to have gone
  Duration outage_timeout = std::chrono::seconds(300);  // a peer whose links had fallen silent

  RouteKinds allowed_kinds = RouteKinds::all();   // for what we send
  Duration patience = std::chrono::seconds(1);    // for an answer, while another link gives some
  Duration trial_time = std::chrono::seconds(1);  // of a better route, before data goes over it
};

// What may be under way over one link: 330 Mbit/s at a round trip of 100 ms. What is more urgent
// waits behind that much, and no more.
inline constexpr std::uint64_t kLinkCost = 4u << 20;
// After so much has arrived over a link, the sender is told at once.
inline constexpr std::uint64_t kLinkReportCost = kLinkCost / 8;

// Of a peer that nothing was heard of for so long when its last link ended, the network is out of
// order; one that was heard of until then has ended its connections itself, or its kernel has.
inline constexpr Duration kOutageSilence = std::chrono::seconds(2);

// Of a peer whose host goes on answering, at least so often, no network is out of order: it is
// silent.
inline constexpr Duration kAnswersOfHost = std::chrono::seconds(10);

// To make a connection anew takes so many: TCP, ZMTP, CURVE and a hello, some of them repeated.
inline constexpr int kReconnectRoundTrips = 8;

// For a hello to be answered, where they are long: the queue of a home's link may hold seconds.
inline constexpr int kGreetingRoundTrips = 4;

// Pings in an interval, while a route is on trial.
inline constexpr int kTrialPings = 4;

// No link leads to a peer, and the session waits for one.
struct Outage {
  TimePoint since;
  TimePoint ends;  // without one until then, the peer is lost
};

// How a peer was lost.
enum class Loss {
  left,       // it said goodbye
  failed,     // it said so, broke the protocol, or its connections ended and none came again
  silent,     // nothing is heard of it
  restarted,  // another process has its place
  refused,    // it is not whom we expect, or does not want us, or we sent it away
};

class Session {
 public:
  enum class State {
    waiting,   // no hello of the peer yet
    open,      // messages flow
    departed,  // the peer said goodbye and everything before it has arrived
    failed,    // see failure()
  };

  struct Outgoing {
    LinkId link;
    wire::Frame frame;
    std::uint64_t ordinal = 0;  // on its link, from 1
  };

  // The first frame of the process that took the peer's place: its session begins with it.
  struct Successor {
    LinkId link;
    wire::Hello hello;
  };

  Session(SessionOptions options, TimePoint now);

  // The application's side.
  void send(wire::Urgency urgency, wire::Message message, Rank rank = 0);
  struct Received {
    wire::Urgency urgency;
    wire::Message message;
  };
  std::optional<Received> receive();  // the most urgent first
  void consumed(wire::Urgency urgency, std::uint64_t cost, TimePoint now);
  // From now on a stranger that claims the peer's place is turned away with a warning,
  // where before it ended the session, because the people who start the job should know.
  void settle() { settled_ = true; }
  void say_goodbye(bool failed, std::string reason);
  // From now on data goes only over links of these kinds; the others stay warm.
  void allow(RouteKinds kinds, TimePoint now);

  // The links' side.
  void link_opened(LinkId id, Route route, const wire::LinkIntroduction& introduction,
                   TimePoint now);
  void link_lost(LinkId id, TimePoint now);
  // An attempt to dial the peer got as far as its host's kernel.
  void host_answered(TimePoint now);
  // Whoever carried its last link lives, and has no connection with the peer: it ended them itself.
  void peer_is_absent() { absent_ = !has_link(); }
  void arrived(LinkId id, wire::Frame frame, std::uint64_t ordinal, TimePoint now);
  void tick(TimePoint now);
  TimePoint next_tick() const;  // when tick() may have something to do

  // What goes out next; nullopt when there is nothing that may. Bulk only where it may go now; what
  // the session says by itself, and control messages, are little, and always may.
  enum class DataMay { go, wait };
  std::optional<Outgoing> next_frame(TimePoint now, DataMay data = DataMay::go);
  // Whether next_frame() would have data, if that might go.
  bool data_waits() const;
  // Links that are of no more use, to be closed by whoever made them.
  std::vector<LinkId> take_discarded_links(TimePoint now);
  std::vector<std::string> take_warnings();

  State state() const { return state_; }
  const std::optional<Error>& failure() const { return failure_; }
  Loss loss() const { return loss_; }  // of a failure
  std::optional<Outage> outage() const;
  const std::optional<Successor>& successor() const { return successor_; }  // after a restart
  // All that we sent and our goodbye are acknowledged, or there is nobody to wait for.
  bool drained() const;
  std::uint64_t queued_cost() const;
  std::uint64_t reconnects() const { return reconnects_; }
  std::uint64_t refused_frames() const { return refused_frames_; }
  std::uint64_t repeated_frames() const { return repeated_frames_; }
  // The link that leads those of a purpose, and why that one.
  const RouteChoice& choice_of(wire::Purpose purpose) const { return choices_[index(purpose)]; }
  // How many of a purpose are sent over.
  std::size_t links_in_use(wire::Purpose purpose) const;
  // Of the control links, where nothing queues.
  std::optional<Duration> round_trip() const;

 private:
  struct Sequence {
    FrameSender out;
    FrameReceiver in;
  };
  // A data frame on a link, by what its arrival is told with.
  struct UnderWay {
    std::uint64_t ordinal;
    wire::Urgency urgency;
    std::uint64_t sequence;
    std::uint64_t cost;
  };
  struct Link {
    LinkId id;
    Route route;
    wire::LinkIntroduction introduction;
    bool greeted = false;   // the peer's hello has come
    bool hello_due = true;  // ours has not gone
    bool pong_due = false;
    bool ping_due = false;
    bool discarded = false;       // of no more use
    std::uint64_t last_ping = 0;  // of the peer's, to be answered
    TimePoint opened;
    TimePoint greeted_by;  // or it is of no use
    TimePoint progress;    // when something last came of it
    LinkWatch watch;

    std::uint64_t sent = 0;  // the last ordinal
    std::deque<UnderWay> under_way{};
    std::uint64_t under_way_cost = 0;

    std::uint64_t arrived = 0;       // the last ordinal
    std::uint64_t data_arrived = 0;  // that of the last data frame
    std::uint64_t reported = 0;
    std::uint64_t unreported_cost = 0;
  };
  // A second process that claims to be our peer, until the first proves to be alive.
  struct Contender {
    std::uint64_t incarnation;
    bool first_lives = false;
  };

  void on(Link& link, const wire::Hello& hello, TimePoint now);
  void on(Link& link, wire::Data data, TimePoint now);
  void on(Link& link, const wire::Acknowledgement& acknowledgement, TimePoint now);
  void on(Link& link, const wire::Ping& ping, TimePoint now);
  void on(Link& link, const wire::Goodbye& goodbye, TimePoint now);

  std::optional<std::string> stranger_in(const wire::Hello& hello) const;
  void turn_away(Link& link, const std::string& why);
  void contend(Link& link, const wire::Hello& hello);
  void adopt(Link& link, const wire::Hello& hello, TimePoint now);
  void take_report(const wire::Acknowledgement& report, TimePoint now);
  void take_link_report(const wire::LinkReport& report, TimePoint now);
  void leave_if_complete();
  void choose_links(wire::Purpose purpose, TimePoint now);
  void check_peer(TimePoint now);
  void check_links(TimePoint now);
  bool nothing_exchanged() const;
  TimePoint absence_ends() const;  // without a link until then
  Duration greeting_patience() const;

  std::optional<Outgoing> next_service_frame(TimePoint now);
  Outgoing on_link(Link& link, wire::Frame frame) {
    return {link.id, std::move(frame), ++link.sent};
  }
  Link* idlest(wire::Purpose purpose, TimePoint now);
  void give_up_what_is_on(Link& link);
  wire::Hello hello(const Link& link);
  wire::Acknowledgement report();
  wire::Ping ping(Link& link, TimePoint now);
  Link* service_link();
  bool has_link() const;
  void owe_report(TimePoint when);
  void discard(Link& link);
  void breach(const std::string& why);
  void unlink(LinkId id, TimePoint now);
  void fail(Loss loss, ErrorKind kind, const std::string& what, std::string hint = "");

  bool leads(const Link& link) const { return choice(link.introduction.purpose).link() == link.id; }
  bool in_use(const Link& link) const;
  TimePoint ping_at(const Link& link, TimePoint now) const;
  Sequence make_sequence(wire::Urgency urgency) const;
  RouteChoice make_choice() const;
  const Link* find(LinkId id) const;
  Link* find(LinkId id);
  static std::size_t index(wire::Purpose purpose) { return static_cast<std::size_t>(purpose); }
  RouteChoice& choice(wire::Purpose purpose) { return choices_[index(purpose)]; }
  const RouteChoice& choice(wire::Purpose purpose) const { return choices_[index(purpose)]; }
  Sequence& sequence(wire::Urgency urgency) {
    return sequences_[static_cast<std::size_t>(urgency)];
  }

  SessionOptions options_;
  std::array<Sequence, wire::kUrgencies> sequences_;
  std::array<RouteChoice, wire::kPurposes> choices_;  // among the greeted links
  std::array<bool, wire::kPurposes> served_{};        // it has had a link before
  std::vector<Link> links_;
  std::vector<RouteChoice::Candidate> candidates_;  // memory that choose_links() uses again
  std::vector<LinkId> discarded_;
  std::vector<std::string> warnings_;
  std::vector<Outgoing> farewells_;  // to links that are turned away

  State state_ = State::waiting;
  std::optional<Error> failure_;
  Loss loss_ = Loss::failed;
  std::optional<Successor> successor_;
  bool settled_ = false;
  std::uint64_t peer_incarnation_ = 0;
  std::optional<Contender> contender_;
  TimePoint last_heard_;
  TimePoint linkless_since_;
  Duration round_trip_{};         // as last known
  Duration greeting_patience_{};  // of links to come, where the last ones had too little
  bool absent_ = false;           // since the last link ended
  bool outage_ = false;           // the last link had fallen silent
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
