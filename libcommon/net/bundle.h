// One path made of several connections, its strands: for links on which one TCP connection does
// not get far, because they are long or lose packets.
//
// Frames are numbered and go over the strand that has the least under way; the other end puts
// them back into order, so that what is above sees one path. A frame waits here while all
// strands are busy, and is given to one as late as possible: a strand that is slow then holds up
// little. Tallies of the other end say what has arrived over each strand. The hello goes over
// every strand and tells the other end which connections belong together. A bundle lives as long
// as all of its strands. Network thread only.

#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "libcommon/net/credit.h"
#include "libcommon/net/path.h"

namespace ptrain::net {

// What may be under way over one strand: 330 Mbit/s at a round trip of 100 ms.
inline constexpr std::uint64_t kStrandCost = 4u << 20;
// After so much has arrived the sender is told.
inline constexpr std::uint64_t kTallyCost = kStrandCost / 8;
// What may lie here because a frame before it is missing: all that a session's credit (32 MiB)
// lets a peer send, twice, because after a damaged frame it is sent again.
inline constexpr std::uint64_t kHeldCost = (64u << 20) + kMaxFrameCost;
// A frame without data that lies here takes as much: it may hold a text.
inline constexpr std::uint64_t kHeldServiceCost = 2048;

// A connection, and its id for when it is no more.
struct Connection {
  PathId id;
  Path* path = nullptr;
};

class Bundle final : public Path {
 public:
  // `strands`: at least one, in the order of their numbers. `number`: drawn by who dials.
  Bundle(PathId id, std::uint64_t number, const std::vector<Connection>& strands);

  PathId id() const override { return id_; }
  std::string name() const override { return name_; }
  Route route() const override { return route_; }
  // Gives it an ordinal of its own. Returns what has left since the last call.
  std::optional<FrameBytes> send(const wire::Frame& frame, std::uint64_t ordinal) override;

  // What came over one of the strands. `sink` gets what is in order now, as of this path.
  // Returns what makes the bundle useless, if anything does.
  std::optional<std::string> take(PathId strand, Arrival arrival, PathSink& sink);

  bool contains(PathId strand) const;
  std::vector<PathId> strand_ids() const;

 private:
  struct Strand {
    Connection connection;
    std::uint64_t sent = 0;       // cost
    std::uint64_t delivered = 0;  // of it, as the other end says
    std::uint64_t arrived = 0;
    std::uint64_t tallied = 0;  // of that, what the other end knows
    std::uint64_t under_way() const { return sent - delivered; }
  };
  struct Waiting {
    wire::Frame frame;
    std::uint64_t ordinal;
    std::uint64_t cost;
  };

  std::optional<FrameBytes> greet(wire::Hello hello, std::uint64_t ordinal);
  bool flush();
  std::optional<std::string> take_tally(Strand& strand, const wire::Tally& tally);
  bool count_arrival(Strand& strand, std::uint64_t cost);
  void deliver(Arrival arrival, PathSink& sink);

  PathId id_;
  std::uint64_t number_;
  std::string name_;
  Route route_;
  std::vector<Strand> strands_;
  std::uint64_t last_sent_ = 0;  // ordinal
  std::deque<Waiting> waiting_;
  std::uint64_t next_ = 1;  // the ordinal that is delivered next
  std::map<std::uint64_t, Arrival> held_;
  std::uint64_t held_cost_ = 0;
  FrameBytes sent_bytes_;  // not reported yet
  FrameBytes tallies_received_;
};

}  // namespace ptrain::net
