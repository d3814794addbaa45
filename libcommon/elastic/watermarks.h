// What a cell has consumed, so that what is sent again is dropped.
//
// When a lost cell is computed again, its neighbours hear what they have heard before, under the
// same names (design: the view changes who may send, never what a message is called), and the
// messages that it consumed itself are asked for again. So every message of a cell is consumed once
// in each life of its state: a channel is a kind of message between two cells, its messages are
// consumed in their order, and the last one is remembered. What comes at or before it is dropped.
//
// The memory belongs to the state of the cell that consumes. Whoever takes a cell over begins where
// the state that it loaded is (begin_at); what other cells here have consumed stays, whoever holds
// their senders now. A value; one thread.

#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "libcommon/base/units.h"
#include "libcommon/job/cell_index.h"
#include "libcommon/wire/message.h"

namespace ptrain::elastic {

struct Channel {
  wire::MessageKind kind = wire::MessageKind::activation;
  job::CellIndex source;
  job::CellIndex destination;

  auto operator<=>(const Channel&) const = default;
};

// Which message of a channel, in the order in which they are consumed.
struct Position {
  Step step;
  MicrobatchIndex microbatch;
  std::uint32_t part = 0;

  auto operator<=>(const Position&) const = default;
};

// "activation from cell 0,1 to cell 1,1"
std::string to_string(const Channel& channel);
// "step 12, microbatch 3, part 0"
std::string to_string(const Position& position);

class Watermarks {
 public:
  // This process holds the cell now, in the state after `steps` steps: it has consumed all messages
  // of the steps before, and none of the others. What was remembered of the cell is of another
  // life.
  void begin_at(const job::CellIndex& destination, Step steps);
  // It does not hold the cell any more.
  void give_up(const job::CellIndex& destination);
  bool holds(const job::CellIndex& destination) const { return begun_.contains(destination); }

  // Whether the message is to be kept until it is consumed; not where it was already, nor for a
  // cell that is not held here.
  bool wants(const Channel& channel, const Position& position) const;
  // Precondition: wants(). Throws Error(internal) otherwise: it would be consumed twice.
  void consumed(const Channel& channel, const Position& position);

  // The last one; nullopt: none since begin_at().
  std::optional<Position> last(const Channel& channel) const;

  bool operator==(const Watermarks&) const = default;

 private:
  std::map<job::CellIndex, Step> begun_;
  std::map<job::CellIndex, std::map<Channel, Position>> last_;
};

}  // namespace ptrain::elastic
