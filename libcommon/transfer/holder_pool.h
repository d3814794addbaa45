// The holders that a fetch was told of, or that the relays of a ticket know: sessions with them,
// what they have, what became of each. A thin layer over net::Node that speaks the protocol.
//
// A session that is lost is begun anew as long as the holder has been of use since the last
// time; otherwise the holder is gone, with the reason. One thread.

#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "libcommon/base/clock.h"
#include "libcommon/base/error.h"
#include "libcommon/base/log.h"
#include "libcommon/base/rate_limit.h"
#include "libcommon/net/endpoint.h"
#include "libcommon/net/node.h"
#include "libcommon/net/warning_limiter.h"
#include "libcommon/transfer/chunk_plan.h"
#include "libcommon/transfer/protocol.h"

namespace ptrain::transfer {

inline constexpr std::size_t kMaxHolders = 64;

struct Holder {
  enum class State {
    coming,  // being dialled, or its list is on its way
    ready,
    gone,
  };
  std::optional<net::Endpoint> endpoint;  // none of one that relays told of
  std::string name;                       // for people: its address
  State state = State::coming;
  Listing listing{};
  std::optional<Error> failure{};  // why it is gone
  ByteCount bytes{};               // received from it that were of use

  const Entry* find(const ckpt::CheckpointId& id) const;
  bool holds(const ckpt::CheckpointId& id, StageIndex stage) const;
};

struct HolderOptions {
  std::vector<net::Endpoint> endpoints;
  std::optional<net::Meeting> meeting{};  // with all holders of a run; needs the key
  std::optional<net::KeyPair> key;
  std::uint8_t connections = 1;  // for bulk, to each holder
  Duration connect_timeout = std::chrono::seconds(30);
  // A holder that owes something must bring so much, looked at after each such time.
  Duration patience = std::chrono::seconds(60);
  std::uint64_t least_bytes_per_s = kMinRateBytesPerS;
};

// What has become of a holder, or what it answered.
struct HolderReady {
  HolderIndex holder;
};
struct HolderGone {  // for good or not: it owes nothing any more
  HolderIndex holder;
};
struct Answered {
  HolderIndex holder;
  Request request;
  std::variant<wire::Buffer, Refusal> answer;
};
using HolderEvent = std::variant<HolderReady, HolderGone, Answered>;

class HolderPool {
 public:
  // Begins to dial. Throws Error(usage) for no holders, too many, or one that cannot be dialled.
  HolderPool(HolderOptions options, Log& log, const Clock& clock);

  const std::vector<Holder>& holders() const { return holders_; }
  const Holder& operator[](HolderIndex holder) const { return holders_[holder.value()]; }
  // Holders that may yet become ready, or are; unknown ones may as long as relays are asked for
  // them.
  bool any_left() const;
  bool any_coming() const;

  std::optional<HolderEvent> wait(Duration timeout);
  // False when its session is over: HolderGone follows, or has come.
  bool ask(HolderIndex holder, const Request& request);
  // What it sent was checked and is of use.
  void credit(HolderIndex holder, ByteCount bytes);
  // Ends the session; what it owed is not expected any more.
  void drop(HolderIndex holder, Error why);

  // That nobody is left, with each holder's reason, and of the kind that says most.
  Error exhausted() const;

 private:
  struct Line {  // the session with one holder
    net::WorkerId peer;
    std::map<std::uint64_t, Request> asked;
    bool useful = true;  // since it was dialled
    // Since when it owes something, or was last found to be quick enough, and what had come by
    // then.
    TimePoint window_began;
    std::uint64_t window_bytes = 0;
  };

  bool searching() const { return search_until_ && clock_.now() < *search_until_; }
  HolderIndex add(std::optional<net::Endpoint> endpoint, std::string name);
  void dial(HolderIndex holder);
  void greet(const net::WorkerId& peer);
  std::optional<HolderIndex> holder_of(const net::WorkerId& peer) const;
  std::optional<HolderEvent> take(net::NodeEvent event);
  std::optional<HolderEvent> take(HolderIndex holder, wire::Message message);
  std::optional<HolderEvent> take_answer(HolderIndex holder, Request request,
                                         const wire::Message& message);
  HolderEvent lose(HolderIndex holder, std::optional<Error> failure);
  HolderEvent misbehaved(HolderIndex holder, const std::string& how);
  std::uint64_t received(const Line& line) const;
  void begin_window(Line& line) const;
  std::optional<HolderEvent> find_stalled();

  Duration patience_;
  std::uint64_t least_bytes_per_s_;
  net::Node node_;
  net::WarningLimiter log_;
  const Clock& clock_;
  std::vector<Holder> holders_;
  std::vector<Line> lines_;  // of holders_
  std::optional<TimePoint> search_until_;
  std::uint64_t requests_ = 0;
};

}  // namespace ptrain::transfer
