// Whether what we send over one link arrives, how fast, and for how long it has. Pure.
//
// A connection's own opinion of being up is worth nothing: a link is judged by
// answers, to pings and to data. What is under way and not answered within a few
// times the usual gap between answers means that the link has stalled. The gap
// is measured between one answer and the next, so a long queue in front of a slow
// link looks slow and not dead. It is kept for data apart from pings: a frame of
// a megabyte takes its time where a ping does not.

#pragma once

#include <cstdint>
#include <optional>

#include "libcommon/base/clock.h"

namespace ptrain::net {

// An answer that is later than so many mean gaps and so many deviations does not come.
inline constexpr int kStallMeans = 2;
inline constexpr int kStallDeviations = 4;
// Of what is not known to be fast yet, so much more patience is due.
inline constexpr int kUnknownFactor = 2;
// Pings that a link must answer before data is trusted to it.
inline constexpr int kTrialAnswers = 3;

struct Patience {
  Duration shortest;  // however fast the link: this side or the other may have been busy
  Duration longest;   // however slow
};

// The usual gap, by mean and deviation as TCP keeps them of its round trip (RFC 6298), so that a
// single late answer changes little.
class AnswerGap {
 public:
  void add(Duration gap);
  // After how long an answer is overdue.
  Duration limit(const Patience& patience) const;

 private:
  std::optional<Duration> mean_;
  Duration deviation_{};
};

class LinkWatch {
 public:
  LinkWatch(Patience patience, TimePoint now);

  void data_sent(TimePoint now);
  // Returns the number of the ping.
  std::uint64_t ping_sent(TimePoint now);

  // Data that went over it has arrived; `more` of it has not.
  void data_arrived(TimePoint now, bool more);
  // The peer has seen the pings up to `number`; `more`: data is under way.
  void ping_answered(std::uint64_t number, TimePoint now, bool more);
  // The data under way is another link's to deliver now.
  void relieve();

  // `patience`: at least so long must an answer have been missing.
  bool stalled(TimePoint now, Duration patience = {}) const { return now >= stalls_at(patience); }
  TimePoint stalls_at(Duration patience = {}) const;
  // When it is worth asking elsewhere what has arrived: half way to the earliest stall.
  TimePoint doubtful_at() const;
  // It has answered, without a stall, for at least `trial`.
  bool proven(TimePoint now, Duration trial) const;

  std::uint64_t pings() const { return pings_; }
  bool unanswered() const { return answered_ < pings_; }
  int answers() const { return answers_; }  // since it last stalled
  TimePoint pinged() const { return pinged_; }
  std::optional<Duration> round_trip() const { return round_trip_; }  // smoothed

 private:
  void expect_answer(TimePoint now);
  void take_answer(TimePoint now, bool more);

  Patience patience_;
  std::optional<TimePoint> waiting_since_;  // for the next answer
  bool data_under_way_ = false;
  AnswerGap data_gap_;
  AnswerGap ping_gap_;
  TimePoint proving_since_;
  int answers_ = 0;
  std::uint64_t pings_ = 0;     // sent, numbered from 1
  std::uint64_t answered_ = 0;  // the last answered one
  TimePoint pinged_;
  std::uint64_t timed_ping_ = 0;
  TimePoint timed_since_;
  std::optional<Duration> round_trip_;
};

}  // namespace ptrain::net
