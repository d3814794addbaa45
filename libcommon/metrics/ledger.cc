#include "libcommon/metrics/ledger.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "libcommon/base/error.h"
#include "libcommon/base/in_quotes.h"
#include "libcommon/base/strict_json.h"

namespace ptrain::metrics {
namespace {

using nlohmann::json;
using LineFields = nlohmann::ordered_json;

std::string text_of_line(const LineFields& fields) {
  return fields.dump(-1, ' ', false, LineFields::error_handler_t::replace);
}

LineFields cell_json(const job::CellIndex& cell) { return {cell.stage.value(), cell.lane.value()}; }

// A clock that jumps must not make a line that nobody can read.
double seconds_or_none(double time_s) { return std::isfinite(time_s) && time_s > 0 ? time_s : 0; }

struct ToLine {
  std::string operator()(const LedgerBegin& r) const {
    LineFields fields{{"kind", "begin"},
                      {"version", kLedgerVersion},
                      {"peer", r.peer.text()},
                      {"job_hash", r.job_hash},
                      {"samples_per_step", r.samples_per_step},
                      {"stages", r.grid.stages},
                      {"lanes", r.grid.lanes},
                      {"siblings_alike", r.siblings_alike}};
    if (r.goes_on_from) fields["goes_on_from"] = r.goes_on_from->value();
    return text_of_line(fields);
  }
  std::string operator()(const LedgerView& r) const {
    return fmt::format(R"({{"kind":"view","view":{}}})", job::canonical_json(r.view));
  }
  std::string operator()(const LedgerStep& r) const {
    LineFields samples = LineFields::array();
    for (const SampleRange& range : r.samples) samples.push_back({range.first, range.end});
    LineFields fields{{"kind", "step"},           {"step", r.step.value()},
                      {"epoch", r.epoch.value()}, {"cell", cell_json(r.cell)},
                      {"samples", samples},       {"compute_s", seconds_or_none(r.compute_s)},
                      {"tx_bytes", r.tx_bytes}};
    if (r.replayed) fields["replayed"] = true;
    return text_of_line(fields);
  }
  std::string operator()(const LedgerDigest& r) const {
    return text_of_line({{"kind", "digest"},
                         {"step", r.step.value()},
                         {"cell", cell_json(r.cell)},
                         {"sha256", to_hex(r.sha256)}});
  }
  std::string operator()(const LedgerWarning& r) const {
    return text_of_line({{"kind", "warning"}, {"step", r.step.value()}, {"text", r.text}});
  }
};

// What a ledger's lines are read against: the last "begin".
class LineReader {
 public:
  explicit LineReader(std::string where) : where_(std::move(where)) {}

  LedgerRecord read(std::string_view text, std::size_t number) {
    const std::string place = fmt::format("{}:{}", where_, number);
    if (text.size() > kMaxLedgerLineBytes) {
      throw Error(ErrorKind::corrupt, fmt::format("{}: {} bytes, a line has at most {}", place,
                                                  text.size(), kMaxLedgerLineBytes));
    }
    const json value = parse_strict_json(text, place);
    JsonObject object(value, place);
    const std::string kind = object.text("kind");
    LedgerRecord record;
    if (kind == "begin") {
      begun_ = begin(object);
      record = *begun_;
    } else if (!begun_) {
      throw Error(ErrorKind::corrupt, place + ": a ledger starts with a line of kind \"begin\"");
    } else if (kind == "view") {
      record = view(object, value, place);
    } else if (kind == "step") {
      record = step(object);
    } else if (kind == "digest") {
      record = LedgerDigest{Step(object.integer("step")), cell(object), object.sha256("sha256")};
    } else if (kind == "warning") {
      record = LedgerWarning{Step(object.integer("step")), object.text("text")};
    } else {
      object.fail("kind", "begin, view, step, digest or warning");
    }
    object.finish();
    return record;
  }

 private:
  static LedgerBegin begin(JsonObject& object) {
    if (object.integer("version") != kLedgerVersion) {
      object.fail("version", std::to_string(kLedgerVersion));
    }
    LedgerBegin begin;
    const auto peer = job::PeerName::parse(object.text("peer"));
    if (!peer) object.fail("peer", "a peer's name");
    begin.peer = *peer;
    begin.job_hash = object.text("job_hash");
    begin.samples_per_step = object.integer("samples_per_step");
    begin.grid.stages = static_cast<std::uint32_t>(object.integer("stages", job::kMaxCells));
    begin.grid.lanes = static_cast<std::uint32_t>(object.integer("lanes", job::kMaxCells));
    if (begin.grid.count() == 0 || begin.grid.count() > job::kMaxCells) {
      object.fail("lanes", fmt::format("1 to {} cells", job::kMaxCells));
    }
    begin.siblings_alike = object.boolean("siblings_alike");
    if (object.has("goes_on_from")) begin.goes_on_from = Step(object.integer("goes_on_from"));
    return begin;
  }

  LedgerView view(JsonObject& object, const json& value, const std::string& place) const {
    object.object("view");
    LedgerView record{job::parse_view(value["view"].dump(), place + ".view")};
    if (const auto flaw = job::flaw_of(record.view, begun_->grid)) {
      throw Error(ErrorKind::corrupt, fmt::format("{}: {}", place, *flaw));
    }
    return record;
  }

  LedgerStep step(JsonObject& object) const {
    LedgerStep step;
    step.step = Step(object.integer("step"));
    if (step.step == Step(0)) object.fail("step", "1 or more: steps done, this one included");
    step.epoch = job::Epoch(object.integer("epoch"));
    step.cell = cell(object);
    std::uint64_t end_before = 0;
    for (const json& range : object.array("samples")) {
      const bool is_pair = range.is_array() && range.size() == 2 && range[0].is_number_unsigned() &&
                           range[1].is_number_unsigned();
      if (!is_pair) object.fail("samples", "pairs of integers");
      const SampleRange samples{range[0].get<std::uint64_t>(), range[1].get<std::uint64_t>()};
      if (samples.first >= samples.end || samples.first < end_before ||
          samples.end > begun_->samples_per_step) {
        object.fail("samples",
                    fmt::format("ascending ranges of 0 to {}", begun_->samples_per_step));
      }
      end_before = samples.end;
      step.samples.push_back(samples);
    }
    step.compute_s = object.number("compute_s");
    step.tx_bytes = object.integer("tx_bytes");
    step.replayed = object.has("replayed") && object.boolean("replayed");
    return step;
  }

  job::CellIndex cell(JsonObject& object) const {
    const json& pair = object.array("cell");
    if (pair.size() == 2 && pair[0].is_number_unsigned() && pair[1].is_number_unsigned() &&
        pair[0].get<std::uint64_t>() < begun_->grid.stages &&
        pair[1].get<std::uint64_t>() < begun_->grid.lanes) {
      return {StageIndex(pair[0].get<std::uint32_t>()), LaneIndex(pair[1].get<std::uint32_t>())};
    }
    object.fail("cell", fmt::format("stage and lane of a job of {} stages and {} lanes",
                                    begun_->grid.stages, begun_->grid.lanes));
  }

  std::string where_;
  std::optional<LedgerBegin> begun_;
};

constexpr std::string_view kBeginning = R"({"kind":"begin",)";

}  // namespace

std::string to_json_line(const LedgerRecord& record) { return std::visit(ToLine{}, record); }

Ledger parse_ledger(std::string_view text, const std::string& where) {
  Ledger ledger{where, {}};
  LineReader reader(where);
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    // A process that was killed in the middle of a line: nothing else of it follows.
    const bool may_be_torn = text.empty() || text.starts_with(kBeginning);
    if (may_be_torn && !json::accept(line)) continue;
    ledger.lines.push_back({number, reader.read(line, number)});
  }
  if (ledger.lines.empty())
    throw Error(ErrorKind::corrupt, where + ": no ledger: it has no whole line");
  return ledger;
}

}  // namespace ptrain::metrics
