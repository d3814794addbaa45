// What the ledgers of a run's peers say together: whether every sample of every step was used once
// by each stage, whether states that should be equal were, and who did how much. Pure.

#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "libcommon/metrics/ledger.h"

namespace ptrain::metrics {

// Of one peer, over all its cells: a sample that went through two of its cells counts twice.
struct Contribution {
  std::uint64_t samples = 0;
  std::uint64_t replayed_samples = 0;  // of them, computed a second time to fill a cell again
  double compute_s = 0;
  std::uint64_t tx_bytes = 0;

  bool operator==(const Contribution&) const = default;
};

struct LedgerFindings {
  // In words, in the order of steps; the first kMostProblems, of so many.
  static constexpr std::size_t kMostProblems = 20;
  std::vector<std::string> problems;
  std::uint64_t problem_count = 0;

  // The steps of which every cell's part is told, from the first to the last; nullopt: none is.
  std::optional<Step> first;
  std::optional<Step> last;
  // After the last one: told by some peers, and not, or not yet, by all.
  std::uint64_t open_steps = 0;
  std::uint64_t samples = 0;  // of the steps from first to last
  std::uint64_t digests = 0;  // that were compared with another one
  std::map<job::PeerName, Contribution> by_peer;
  std::vector<std::string> warnings;  // what the ledgers warn of, the first kMostProblems

  bool sound() const { return problem_count == 0; }
};

// Precondition: at least one. Problems are: ledgers of different jobs, or two views of one epoch,
// after which nothing else is looked at; a cell's part of a step that nobody tells of, while every
// part of a later step is told; that is told by two peers, neither of whom replayed it, or with
// different samples; that is told by who did not hold the cell; a sample that two lanes have used,
// or none; and digests that differ.
LedgerFindings check_ledgers(std::span<const Ledger> ledgers);

}  // namespace ptrain::metrics
