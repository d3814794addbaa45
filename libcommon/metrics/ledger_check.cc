#include "libcommon/metrics/ledger_check.h"

#include <algorithm>
#include <set>
#include <utility>

#include <fmt/format.h>

namespace ptrain::metrics {
namespace {

// A record and where it stands.
template <class Record>
struct Told {
  const Record* record = nullptr;
  job::PeerName peer;
  std::string place;  // "a.jsonl:12"
};
using ToldStep = Told<LedgerStep>;
using ToldDigest = Told<LedgerDigest>;
using CellsOfStep = std::map<job::CellIndex, std::vector<ToldStep>>;

std::uint64_t count_of(const std::vector<SampleRange>& ranges) {
  std::uint64_t count = 0;
  for (const SampleRange& range : ranges) count += range.end - range.first;
  return count;
}

class LedgerChecker {
 public:
  explicit LedgerChecker(std::span<const Ledger> ledgers) {
    for (const Ledger& ledger : ledgers) collect(ledger);
  }

  LedgerFindings check() {
    if (findings_.problem_count > 0) return std::move(findings_);  // not of one run
    for (const auto& [step, cells] : steps_) {
      if (!is_whole(cells)) continue;
      if (!findings_.first) findings_.first = step;
      findings_.last = step;
    }
    for (const auto& [step, cells] : steps_) {
      for (const auto& [cell, told] : cells) check_cell(step, cell, told);
      for (std::uint32_t stage = 0; stage < run_->grid.stages; ++stage) {
        check_samples(step, StageIndex(stage), cells);
      }
    }
    check_gaps();
    check_digests();
    return std::move(findings_);
  }

 private:
  void collect(const Ledger& ledger) {
    std::vector<ToldStep> steps;
    std::vector<ToldDigest> digests;
    job::PeerName peer;
    for (const LedgerLine& line : ledger.lines) {
      const std::string place = fmt::format("{}:{}", ledger.where, line.number);
      if (const auto* begin = std::get_if<LedgerBegin>(&line.record)) {
        peer = begin->peer;
        compare(*begin, place);
        if (!begin->goes_on_from) continue;
        const auto is_void = [&](const auto& told) {
          return told.record->step > *begin->goes_on_from;
        };
        std::erase_if(steps, is_void);
        std::erase_if(digests, is_void);
      } else if (const auto* view = std::get_if<LedgerView>(&line.record)) {
        const auto [known, added] = views_.emplace(view->view.epoch, std::pair(view->view, place));
        if (!added && known->second.first != view->view) {
          problem(fmt::format("two views of epoch {}: {} and {}", view->view.epoch.value(),
                              known->second.second, place));
        }
      } else if (const auto* step = std::get_if<LedgerStep>(&line.record)) {
        steps.push_back({step, peer, place});
      } else if (const auto* digest = std::get_if<LedgerDigest>(&line.record)) {
        digests.push_back({digest, peer, place});
      } else if (findings_.warnings.size() < LedgerFindings::kMostProblems) {
        const auto& warning = std::get<LedgerWarning>(line.record);
        findings_.warnings.push_back(
            fmt::format("{}: step {}: {}", place, warning.step.value(), warning.text));
      }
    }
    for (ToldStep& told : steps) {
      count(told);
      steps_[told.record->step][told.record->cell].push_back(std::move(told));
    }
    for (ToldDigest& told : digests) {
      job::CellIndex cell = told.record->cell;
      if (run_->siblings_alike) cell.lane = LaneIndex(0);
      digests_[{told.record->step, cell}].push_back(std::move(told));
    }
  }

  void compare(const LedgerBegin& begin, const std::string& place) {
    if (run_ == nullptr) {
      run_ = &begin;
      run_place_ = place;
      return;
    }
    const auto differ = [&](const char* what, const auto& here, const auto& there) {
      if (here == there) return;
      problem(fmt::format("{}: {} {}, {} has {}: not of one job", place, what, here, run_place_,
                          there));
    };
    differ("job_hash", begin.job_hash, run_->job_hash);
    differ("samples_per_step", begin.samples_per_step, run_->samples_per_step);
    differ("stages", begin.grid.stages, run_->grid.stages);
    differ("lanes", begin.grid.lanes, run_->grid.lanes);
    differ("siblings_alike", begin.siblings_alike, run_->siblings_alike);
  }

  void count(const ToldStep& told) {
    Contribution& by = findings_.by_peer[told.peer];
    const std::uint64_t samples = count_of(told.record->samples);
    by.samples += samples;
    if (told.record->replayed) by.replayed_samples += samples;
    by.compute_s += told.record->compute_s;
    by.tx_bytes += told.record->tx_bytes;
  }

  bool is_whole(const CellsOfStep& cells) const { return cells.size() == run_->grid.count(); }

  void check_cell(Step step, const job::CellIndex& cell, const std::vector<ToldStep>& told) {
    const auto what = [&] {
      return fmt::format("step {}, {}", step.value(), job::to_string(cell));
    };
    const ToldStep* first_hand = nullptr;
    for (const ToldStep& each : told) {
      if (each.record->samples != told.front().record->samples) {
        problem(fmt::format("{}: {} and {} tell of different samples", what(), told.front().place,
                            each.place));
      }
      const auto view = views_.find(each.record->epoch);
      if (view != views_.end() && job::holder_of(view->second.first, cell) != each.peer) {
        problem(fmt::format("{}: {} says that {} computed it, but {} held it in epoch {} ({})",
                            what(), each.place, each.peer.text(),
                            job::holder_of(view->second.first, cell).text(),
                            each.record->epoch.value(), view->second.second));
      }
      if (each.record->replayed) continue;
      if (first_hand != nullptr) {
        problem(fmt::format("{}: computed by {} ({}) and by {} ({}), and neither replayed it",
                            what(), first_hand->peer.text(), first_hand->place, each.peer.text(),
                            each.place));
      }
      first_hand = &each;
    }
  }

  // The lanes of a stage have used every sample once.
  void check_samples(Step step, StageIndex stage, const CellsOfStep& cells) {
    std::vector<std::pair<SampleRange, job::CellIndex>> ranges;
    std::uint32_t lanes = 0;
    for (const auto& [cell, told] : cells) {
      if (cell.stage != stage) continue;
      ++lanes;
      for (const SampleRange& range : told.front().record->samples)
        ranges.emplace_back(range, cell);
    }
    std::sort(ranges.begin(), ranges.end());
    const bool all_told = lanes == run_->grid.lanes;
    std::uint64_t next = 0;  // the first sample that none of them has used
    const auto unused_until = [&](std::uint64_t end) {
      if (!all_told || next >= end) return;
      problem(fmt::format("step {}: no lane of stage {} has used samples {} to {}", step.value(),
                          stage.value(), next, end - 1));
    };
    const job::CellIndex* before = nullptr;
    for (const auto& [range, cell] : ranges) {
      if (before != nullptr && range.first < next) {
        problem(fmt::format("step {}: sample {} was used by {} and by {}", step.value(),
                            range.first, job::to_string(*before), job::to_string(cell)));
      }
      unused_until(range.first);
      if (before == nullptr || range.end > next) before = &cell;
      next = std::max(next, range.end);
    }
    unused_until(run_->samples_per_step);
  }

  void check_gaps() {
    if (steps_.empty()) return;
    if (!findings_.last) {
      problem(
          fmt::format("no step is told of by the holders of all cells: of step {}, nobody tells "
                      "of {}",
                      steps_.begin()->first.value(), missing_cell(steps_.begin()->second)));
      findings_.open_steps = steps_.size();
      return;
    }
    for (auto step = steps_.begin(); step != steps_.end(); ++step) {
      if (step->first > *findings_.last) {
        ++findings_.open_steps;
        continue;
      }
      findings_.samples += run_->samples_per_step;
      if (!is_whole(step->second)) {
        problem(fmt::format("step {}: nobody tells of {}", step->first.value(),
                            missing_cell(step->second)));
      }
      const auto next = std::next(step);
      if (next != steps_.end() && next->first != step->first.next()) {
        problem(fmt::format("steps {} to {}: nobody tells of them", step->first.next().value(),
                            next->first.value() - 1));
      }
    }
  }

  // "cell 1,0, which c held"
  std::string missing_cell(const CellsOfStep& cells) const {
    for (const job::CellIndex& cell : run_->grid.cells()) {
      if (cells.contains(cell)) continue;
      const job::Epoch epoch = cells.begin()->second.front().record->epoch;
      const auto view = views_.find(epoch);
      return view == views_.end() ? job::to_string(cell)
                                  : fmt::format("{}, which {} held", job::to_string(cell),
                                                job::holder_of(view->second.first, cell).text());
    }
    return "";
  }

  void check_digests() {
    for (const auto& [state, told] : digests_) {
      findings_.digests += told.size() > 1 ? told.size() : 0;
      for (const ToldDigest& each : told) {
        if (each.record->sha256 == told.front().record->sha256) continue;
        problem(fmt::format("after step {}, {} of {} ({}) has SHA-256 {}, and {} of {} ({}) has {}",
                            state.first.value(), job::to_string(told.front().record->cell),
                            told.front().peer.text(), told.front().place,
                            to_hex(told.front().record->sha256).substr(0, 16),
                            job::to_string(each.record->cell), each.peer.text(), each.place,
                            to_hex(each.record->sha256).substr(0, 16)));
      }
    }
  }

  void problem(std::string text) {
    ++findings_.problem_count;
    if (findings_.problems.size() < LedgerFindings::kMostProblems) {
      findings_.problems.push_back(std::move(text));
    }
  }

  const LedgerBegin* run_ = nullptr;  // the first one
  std::string run_place_;
  std::map<job::Epoch, std::pair<job::View, std::string>> views_;
  std::map<Step, CellsOfStep> steps_;
  std::map<std::pair<Step, job::CellIndex>, std::vector<ToldDigest>> digests_;
  LedgerFindings findings_;
};

}  // namespace

LedgerFindings check_ledgers(std::span<const Ledger> ledgers) {
  return LedgerChecker(ledgers).check();
}

}  // namespace ptrain::metrics
