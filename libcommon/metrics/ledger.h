// The ledger: what a peer has done of a run, step by step, as JSON Lines beside the metrics. Each
// peer writes its own file; all of them together show that every sample of every step was used once
// (ledger_check.h).
//
// A file is only ever appended to. A process begins with a "begin" line; then come "view" lines, as
// the view changes, a "step" line for every cell of its own in every step that was applied,
// "digest" lines every so often, and a "warning" for what a reader must know. A line that a killed
// process left unfinished is followed by the next process' "begin", or is the last.
//
// Values, and pure functions over them; the writer has a header of its own (ledger_writer.h).

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "libcommon/base/sha256.h"
#include "libcommon/base/units.h"
#include "libcommon/job/view.h"

namespace ptrain::metrics {

inline constexpr std::uint64_t kLedgerVersion = 1;
inline constexpr std::size_t kMaxLedgerLineBytes = job::kMaxViewBytes + 1024;

// A process has begun to write.
struct LedgerBegin {
  job::PeerName peer;
  std::string job_hash;
  std::uint64_t samples_per_step = 0;
  job::CellGrid grid;
  // The lanes of a stage end every step with the same state.
  bool siblings_alike = true;
  // The whole run goes on from a checkpoint after so many steps: what this file says of later ones
  // before this line did not last. Not for a peer that joins a run that goes on.
  std::optional<Step> goes_on_from{};

  bool operator==(const LedgerBegin&) const = default;
};

struct LedgerView {
  job::View view;

  bool operator==(const LedgerView&) const = default;
};

// Samples [first, end) of a step, by their place in its batch.
struct SampleRange {
  std::uint64_t first = 0;
  std::uint64_t end = 0;

  auto operator<=>(const SampleRange&) const = default;
};

// This peer has computed a cell's part of a step that was applied.
struct LedgerStep {
  Step step;  // steps done, this one included, as in the metrics
  job::Epoch epoch;
  job::CellIndex cell;
  std::vector<SampleRange> samples;  // ascending, apart from each other
  bool replayed = false;  // to get at the state of a cell that somebody had computed before
  double compute_s = 0;
  std::uint64_t tx_bytes = 0;

  bool operator==(const LedgerStep&) const = default;
};

// Of a cell's state after that step.
struct LedgerDigest {
  Step step;
  job::CellIndex cell;
  Sha256Digest sha256{};

  bool operator==(const LedgerDigest&) const = default;
};

struct LedgerWarning {
  Step step;
  std::string text;

  bool operator==(const LedgerWarning&) const = default;
};

using LedgerRecord = std::variant<LedgerBegin, LedgerView, LedgerStep, LedgerDigest, LedgerWarning>;

// One line, without its newline.
std::string to_json_line(const LedgerRecord& record);

struct LedgerLine {
  std::size_t number = 0;  // in the file, from 1
  LedgerRecord record;
};

struct Ledger {
  std::string where;  // the file's name
  std::vector<LedgerLine> lines;
};

// Throws Error(corrupt) that names the file, the line and what is wrong with it: a line that is
// none of those above, a first one that is no "begin", samples that are not in the step.
Ledger parse_ledger(std::string_view text, const std::string& where);

}  // namespace ptrain::metrics
