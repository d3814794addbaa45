#include "libcommon/metrics/ledger.h"

#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <limits>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libcommon/base/error.h"
#include "libcommon/metrics/ledger_writer.h"
#include "tests/unit/os/temporary_directory.h"

namespace ptrain::metrics {
namespace {

using ::testing::HasSubstr;

job::CellIndex ledger_cell(std::uint32_t stage, std::uint32_t lane) {
  return {StageIndex(stage), LaneIndex(lane)};
}

LedgerBegin sample_begin() {
  return {.peer = job::PeerName("a"),
          .job_hash = "abc",
          .samples_per_step = 8,
          .grid = {.stages = 2, .lanes = 2}};
}

LedgerStep sample_step(std::uint64_t step = 3) {
  return {.step = Step(step),
          .epoch = job::Epoch(1),
          .cell = ledger_cell(1, 0),
          .samples = {{0, 2}, {3, 4}},
          .compute_s = 1.5,
          .tx_bytes = 77};
}

std::vector<LedgerRecord> sample_records() {
  LedgerBegin begin = sample_begin();
  begin.siblings_alike = false;
  begin.goes_on_from = Step(2);
  LedgerView view;
  view.view.epoch = job::Epoch(1);
  view.view.driver = job::PeerName("a");
  for (const job::CellIndex& cell : begin.grid.cells())
    view.view.holders[cell] = job::PeerName("a");
  LedgerStep replayed = sample_step();
  replayed.replayed = true;
  return {sample_begin(),
          begin,
          view,
          sample_step(),
          replayed,
          LedgerDigest{Step(3), ledger_cell(1, 1), sha256("x")},
          LedgerWarning{Step(3), "\"much\""}};
}

std::string ledger_error(const std::string& text) {
  try {
    parse_ledger(text, "a.jsonl");
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::corrupt) << error.what();
    return error.what();
  }
  return "";
}

TEST(LedgerTest, LinesAreWhatTheManualSays) {
  EXPECT_EQ(to_json_line(sample_begin()),
            R"({"kind":"begin","version":1,"peer":"a","job_hash":"abc","samples_per_step":8,)"
            R"("stages":2,"lanes":2,"siblings_alike":true})");
  EXPECT_EQ(to_json_line(sample_step()),
            R"({"kind":"step","step":3,"epoch":1,"cell":[1,0],"samples":[[0,2],[3,4]],)"
            R"("compute_s":1.5,"tx_bytes":77})");
}

TEST(LedgerTest, ReadsBackWhatWasWritten) {
  std::string text;
  for (const LedgerRecord& record : sample_records()) text += to_json_line(record) + "\n";
  const Ledger ledger = parse_ledger(text, "a.jsonl");
  ASSERT_EQ(ledger.lines.size(), sample_records().size());
  for (std::size_t i = 0; i < ledger.lines.size(); ++i) {
    EXPECT_EQ(ledger.lines[i].number, i + 1);
    EXPECT_EQ(ledger.lines[i].record, sample_records()[i]) << to_json_line(sample_records()[i]);
  }
}

TEST(LedgerTest, ATimeThatIsNoneIsZero) {
  LedgerStep step = sample_step();
  for (const double wrong :
       {-1.0, std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    step.compute_s = wrong;
    EXPECT_THAT(to_json_line(step), HasSubstr(R"("compute_s":0.0)"));
  }
}

TEST(LedgerTest, OfAKilledProcessTheLastLineMayBeUnfinished) {
  const std::string begin = to_json_line(sample_begin());
  const std::string step = to_json_line(sample_step());
  for (std::size_t cut = 0; cut < step.size(); ++cut) {
    const std::string torn = step.substr(0, cut);
    EXPECT_EQ(parse_ledger(begin + "\n" + torn, "a").lines.size(), 1u) << torn;
    EXPECT_EQ(parse_ledger(begin + "\n" + torn + "\n" + begin + "\n", "a").lines.size(), 2u)
        << torn;
  }
  EXPECT_EQ(parse_ledger(begin + "\n" + step, "a").lines.size(), 2u);  // only its end is missing
  // Elsewhere it is damage.
  EXPECT_THAT(ledger_error(begin + "\n" + step.substr(0, 9) + "\n" + step + "\n"),
              HasSubstr("a.jsonl:2: not JSON"));
  // So is a whole line that says something impossible, wherever it stands.
  EXPECT_THAT(ledger_error(begin + "\n" + R"({"kind":"x"})"),
              HasSubstr("a.jsonl:2: kind is \"x\""));
  EXPECT_THAT(ledger_error(""), HasSubstr("no whole line"));
  EXPECT_THAT(ledger_error(begin.substr(0, 20)), HasSubstr("no whole line"));
}

TEST(LedgerTest, WhatIsNoLedgerIsRefusedWithFileAndLine) {
  const std::string begin = to_json_line(sample_begin()) + "\n";
  const auto refuse = [&](const LedgerStep& step) {
    return ledger_error(begin + to_json_line(step) + "\n" + begin);
  };
  EXPECT_THAT(ledger_error(to_json_line(sample_step()) + "\n"),
              HasSubstr("a.jsonl:1: a ledger starts with a line of kind \"begin\""));
  LedgerStep step = sample_step();
  step.cell = ledger_cell(2, 0);
  EXPECT_THAT(refuse(step),
              HasSubstr("a.jsonl:2: cell is [2,0], expected stage and lane of a job"));
  step = sample_step(0);
  EXPECT_THAT(refuse(step), HasSubstr("step is 0"));
  step = sample_step();
  for (const std::vector<SampleRange>& wrong :
       std::vector<std::vector<SampleRange>>{{{0, 9}}, {{2, 2}}, {{3, 1}}, {{2, 4}, {3, 5}}}) {
    step.samples = wrong;
    EXPECT_THAT(refuse(step), HasSubstr("expected ascending ranges of 0 to 8"));
  }
  step.samples = {{0, 8}};  // the limit
  EXPECT_EQ(refuse(step), "");
  EXPECT_THAT(
      ledger_error(begin + R"({"kind":"warning","step":1,"text":"x","more":1})" + "\n" + begin),
      HasSubstr("unknown key"));
  LedgerBegin nobody = sample_begin();
  nobody.grid.lanes = 0;
  EXPECT_THAT(ledger_error(to_json_line(nobody) + "\n"), HasSubstr("expected 1 to 16384 cells"));
  EXPECT_THAT(ledger_error(begin + "{\"kind\":\"warning\",\"step\":1,\"text\":\"" +
                           std::string(kMaxLedgerLineBytes, 'x') + "\"}\n"),
              HasSubstr("a line has at most"));
}

class LedgerWriterTest : public ::testing::Test {
 protected:
  std::filesystem::path path() const { return directory_.path() / "ledger.jsonl"; }
  std::string content() const {
    std::ifstream file(path());
    return {std::istreambuf_iterator<char>(file), {}};
  }

  os::TemporaryDirectory directory_;
  NullLog log_;
};

TEST_F(LedgerWriterTest, AppendsToWhatIsThereAndEndsALineThatIsUnfinished) {
  const std::string begin = to_json_line(sample_begin());
  { LedgerWriter(path(), sample_begin(), log_).write(sample_step()); }
  const std::string first = begin + "\n" + to_json_line(sample_step()) + "\n";
  EXPECT_EQ(content(), first);
  { LedgerWriter again(path(), sample_begin(), log_); }
  EXPECT_EQ(content(), first + begin + "\n");
  std::ofstream(path(), std::ios::app) << "{\"kind";
  { LedgerWriter again(path(), sample_begin(), log_); }
  EXPECT_EQ(content(), first + begin + "\n{\"kind\n" + begin + "\n");
  EXPECT_EQ(parse_ledger(content(), "a").lines.size(), 4u);
}

TEST_F(LedgerWriterTest, AFileThatCannotBeOpenedIsAnErrorAtOnce) {
  const auto kind = [&](const std::filesystem::path& at) {
    try {
      LedgerWriter writer(at, sample_begin(), log_);
    } catch (const Error& error) {
      return error.kind();
    }
    return ErrorKind::internal;
  };
  EXPECT_EQ(kind(directory_.path() / "no" / "where"), ErrorKind::io);
  EXPECT_EQ(kind(directory_.path()), ErrorKind::io);
}

}  // namespace
}  // namespace ptrain::metrics
