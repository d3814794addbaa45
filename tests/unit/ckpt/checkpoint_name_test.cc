#include "tools/ckpt/checkpoint_name.h"

#include <gtest/gtest.h>

#include "libcommon/cli/exit_code.h"
#include "tests/unit/ckpt/sample_checkpoint.h"
#include "tests/unit/os/temporary_directory.h"
#include "tools/ckpt/early_end.h"
#include "tools/ckpt/quantity.h"

namespace ptrain::ckpt_tool {
namespace {

CheckpointName name(const std::string& directory, const std::string& which) {
  return {directory, which};
}

TEST(CheckpointName, AWordIsInTheFolderThatIsGiven) {
  EXPECT_EQ(parse_checkpoint_name("latest", "run/ckpt"), name("run/ckpt", "latest"));
  EXPECT_EQ(parse_checkpoint_name("1200", "ckpt"), name("ckpt", "1200"));
}

TEST(CheckpointName, APathHasItsOwn) {
  EXPECT_EQ(parse_checkpoint_name("run/ckpt/latest", "other"), name("run/ckpt", "latest"));
  EXPECT_EQ(parse_checkpoint_name("./latest", "other"), name(".", "latest"));
  EXPECT_EQ(parse_checkpoint_name("/latest", "other"), name("/", "latest"));
}

TEST(CheckpointName, ASlashAtTheEndIsFromCompletion) {
  EXPECT_EQ(parse_checkpoint_name("ckpt/step-00000010/", "other"), name("ckpt", "step-00000010"));
  EXPECT_EQ(parse_checkpoint_name("step-00000010/", "ckpt"), name("ckpt", "step-00000010"));
}

TEST(FindCheckpoint, WhatIsAbsentOrNotCompleteEndsTheCommandWithItsCode) {
  os::TemporaryDirectory directory;
  os::PosixStorage disk;
  ckpt::CheckpointStore store(disk, directory.path(), "test");
  ckpt::SampleCheckpoint(Step(10)).save(store, {4});
  store.write_stage(ckpt::SampleCheckpoint(Step(20)).stage(0, {4}));
  ckpt::SampleCheckpoint(Step(30)).save(store, {4});
  std::filesystem::resize_file(store.step_directory(Step(30)) / "stage-00.model.safetensors", 9);

  const std::string root = directory.path().string();
  EXPECT_EQ(find_complete(disk, {root, "latest"}).info.step, Step(10));
  EXPECT_EQ(find_checkpoint(disk, {root, "20"}).info.step, Step(20));
  const auto code_for = [&](const std::string& which) {
    try {
      find_complete(disk, {root, which});
    } catch (const EarlyEnd& end) {
      EXPECT_FALSE(end.text.empty());
      return end.exit_code;
    }
    return cli::kDone;
  };
  EXPECT_EQ(code_for("10"), cli::kDone);
  EXPECT_EQ(code_for("20"), cli::kNegative);
  EXPECT_EQ(code_for("30"), cli::kCorrupt);
  EXPECT_EQ(code_for("40"), cli::kNegative);
}

TEST(SizeText, ChangesItsUnitWhereTheNumberWouldHaveFourDigits) {
  EXPECT_EQ(size_text(ByteCount(0)), "0 B");
  EXPECT_EQ(size_text(ByteCount(999)), "999 B");
  EXPECT_EQ(size_text(ByteCount(1000)), "1.0 kB");
  EXPECT_EQ(size_text(ByteCount(999'949)), "999.9 kB");
  EXPECT_EQ(size_text(ByteCount(999'950)), "1.0 MB");
  EXPECT_EQ(size_text(ByteCount(~0ull)), "18.4 EB");
}

TEST(ParseSize, TakesWholeNumbersWithAUnit) {
  EXPECT_EQ(parse_size("0"), ByteCount(0));
  EXPECT_EQ(parse_size("12B"), ByteCount(12));
  EXPECT_EQ(parse_size("5GB"), ByteCount(5'000'000'000));
  EXPECT_EQ(parse_size("5gib"), ByteCount(5ull << 30));
  EXPECT_EQ(parse_size("18446744073709551615"), ByteCount(~0ull));
  for (const char* text : {"", "GB", "-1", "1.5GB", "5 GB", "5GBs", "18446744073709551616",
                           "18446744073710TB", "+5"}) {
    EXPECT_EQ(parse_size(text), std::nullopt) << text;
  }
}

TEST(AgeText, IsNeverNegative) {
  using namespace std::chrono_literals;
  EXPECT_EQ(age_text(-5s), "0 s");
  EXPECT_EQ(age_text(119s), "119 s");
  EXPECT_EQ(age_text(120s), "2 min");
  EXPECT_EQ(age_text(119min), "119 min");
  EXPECT_EQ(age_text(120min), "2 h");
  EXPECT_EQ(age_text(47h), "47 h");
  EXPECT_EQ(age_text(48h), "2 days");
}

}  // namespace
}  // namespace ptrain::ckpt_tool
