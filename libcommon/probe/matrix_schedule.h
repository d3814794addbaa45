// Which pairs of a matrix are to be measured now: rounds (rounds.h), in which a test waits for no
// others than those of its own two hosts. Pure.
//
// No two tests share a host, and each host has its tests in the order of the rounds, so that a slow
// or dead one keeps nobody waiting who has others to be measured with.

#pragma once

#include <cstddef>
#include <cstdint>
#include <set>
#include <vector>

#include "libcommon/probe/rounds.h"

namespace ptrain::probe {

class MatrixSchedule {
 public:
  // `hosts` as of rounds_of().
  explicit MatrixSchedule(std::vector<std::uint32_t> hosts);

  // Those that begin now, their hosts being free.
  std::vector<Pair> due();
  // One of these is over.
  void done(const Pair& pair);
  // All of its tests that have not begun are taken out: it is lost.
  std::vector<Pair> drop(std::size_t peer);

  std::size_t left() const { return waiting_.size() + running_; }
  std::size_t rounds() const { return rounds_; }

 private:
  std::vector<std::uint32_t> hosts_;
  std::vector<Pair> waiting_;  // in the order of the rounds
  std::set<std::uint32_t> busy_;
  std::size_t running_ = 0;
  std::size_t rounds_ = 0;
};

}  // namespace ptrain::probe
