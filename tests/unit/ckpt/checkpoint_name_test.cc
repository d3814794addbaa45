#include "libcommon/ckpt/checkpoint_name.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libcommon/base/error.h"
#include "tests/unit/ckpt/sample_checkpoint.h"
#include "tests/unit/os/temporary_directory.h"
#include "tools/ckpt/quantity.h"

namespace ptrain::ckpt {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

const std::vector<std::int64_t> kThreeStages = {1, 2, 4};

// A folder run/ with ckpt/ in it, as a recipe makes it: steps 10 and 30 whole, step 20 without a
// manifest.
class CheckpointNameTest : public ::testing::Test {
 protected:
  void SetUp() override {
    CheckpointStore store(disk_, ckpt_, "test");
    SampleCheckpoint(Step(10)).save(store, {4});
    store.write_stage(SampleCheckpoint(Step(20)).stage(0, {4}));
    SampleCheckpoint(Step(30)).save(store, {4});
  }
  // In a run's own folder, as a name without one is.
  CheckpointName parse(const std::string& word) { return parse_checkpoint_name(disk_, word, run_); }
  std::string found(const LookedUp& result) {
    const auto* found = std::get_if<FoundCheckpoint>(&result);
    return found != nullptr ? step_name(found->info.step) : std::get<NoCheckpoint>(result).why;
  }
  std::string found(const fs::path& directory, const std::string& which) {
    return found(find_checkpoint(disk_, {directory, which}));
  }
  std::string complete(const fs::path& directory, const std::string& which) {
    return found(find_complete(disk_, {directory, which}));
  }

  os::TemporaryDirectory directory_;
  os::PosixStorage disk_;
  fs::path run_ = directory_.path() / "run";
  fs::path ckpt_ = run_ / "ckpt";
};

TEST_F(CheckpointNameTest, ANameAloneIsInTheFolderThatIsGivenOrInItsCkpt) {
  for (const std::string name : {"latest", "10", "step-00000010", "3fa9c2e1"}) {
    EXPECT_EQ(parse(name), (CheckpointName{ckpt_, name}));
    EXPECT_EQ(parse_checkpoint_name(disk_, name, ckpt_), (CheckpointName{ckpt_, name}));
    EXPECT_EQ(parse(name + "/"), (CheckpointName{ckpt_, name}));  // from completion
  }
}

TEST_F(CheckpointNameTest, APathHasItsOwnFolder) {
  for (const std::string name : {"latest", "10", "step-00000010", "3fa9c2e1"}) {
    EXPECT_EQ(parse((run_ / name).string()), (CheckpointName{ckpt_, name}));
    EXPECT_EQ(parse((ckpt_ / name).string()), (CheckpointName{ckpt_, name}));
  }
  EXPECT_EQ(parse("./latest"), (CheckpointName{".", "latest"}));
  EXPECT_EQ(parse("/latest"), (CheckpointName{"/", "latest"}));
}

TEST_F(CheckpointNameTest, AFolderIsItselfOrItsCkpt) {
  EXPECT_EQ(parse(run_.string()), (CheckpointName{ckpt_, ""}));
  EXPECT_EQ(parse(run_.string() + "/"), (CheckpointName{ckpt_, ""}));
  EXPECT_EQ(parse(ckpt_.string()), (CheckpointName{ckpt_, ""}));
  EXPECT_EQ(parse("nowhere"), (CheckpointName{"nowhere", ""}));
}

TEST_F(CheckpointNameTest, AFolderNamedLikeAStepIsAFolderWhenItHoldsCheckpoints) {
  const fs::path dated = directory_.path() / "20261129";
  EXPECT_EQ(parse(dated.string()), (CheckpointName{directory_.path(), "20261129"}));
  fs::copy(run_, dated, fs::copy_options::recursive);
  EXPECT_EQ(parse(dated.string()), (CheckpointName{dated / "ckpt", ""}));
}

TEST_F(CheckpointNameTest, StepsGoBeforeACkptBesideThem) {
  fs::create_directory(ckpt_ / "ckpt");
  EXPECT_EQ(checkpoint_folder(disk_, ckpt_), ckpt_);
}

TEST_F(CheckpointNameTest, AFolderAloneIsTheNewestThatClaimsToExistOrTheNewestComplete) {
  EXPECT_EQ(found(ckpt_, ""), "step-00000030");
  EXPECT_EQ(complete(ckpt_, ""), "step-00000030");
  fs::remove(ckpt_ / "step-00000030" / "manifest.json");
  EXPECT_EQ(found(ckpt_, ""), "step-00000030");
  EXPECT_EQ(complete(ckpt_, ""), "step-00000010");
  EXPECT_EQ(found(ckpt_, "latest"), "step-00000010");
}

TEST_F(CheckpointNameTest, WhatIsNotThereIsSaidWithItsFolder) {
  EXPECT_EQ(found("nowhere", ""), "no folder nowhere");
  EXPECT_EQ(complete("nowhere", "latest"), "no folder nowhere");
  EXPECT_EQ(found(directory_.path(), ""), "no checkpoints in " + directory_.path().string());
  EXPECT_EQ(complete(directory_.path(), "5"), "no checkpoints in " + directory_.path().string());
  EXPECT_EQ(found(ckpt_, "40"), "no checkpoint 40 in " + ckpt_.string());
  EXPECT_EQ(complete(ckpt_, "40"), "no checkpoint 40 in " + ckpt_.string());
}

TEST_F(CheckpointNameTest, WhatIsNotCompleteIsNoneAndWhatIsDamagedIsCorrupt) {
  EXPECT_EQ(found(ckpt_, "20"), "step-00000020");
  EXPECT_THAT(complete(ckpt_, "20"), HasSubstr("step-00000020 is not complete: no manifest.json"));
  EXPECT_FALSE(std::get<NoCheckpoint>(find_complete(disk_, {ckpt_, "20"})).corrupt);
  fs::resize_file(ckpt_ / "step-00000030" / "stage-00.model.safetensors", 9);
  EXPECT_TRUE(std::get<NoCheckpoint>(find_complete(disk_, {ckpt_, "30"})).corrupt);
}

TEST_F(CheckpointNameTest, OfAShareItIsSaidWhichAndHowTheOthersAreFetched) {
  const fs::path host = directory_.path() / "host";
  CheckpointStore store(disk_, host, "test");
  SampleCheckpoint(Step(80)).save(store, kThreeStages);
  EXPECT_EQ(words_on_share(disk_, host, Step(80), ""), "");
  for (const char* name : {"model.safetensors", "optim.safetensors", "record.json"}) {
    fs::remove(host / "step-00000080" / (std::string("stage-00.") + name));
  }
  const std::string fetch =
      "fetch the others with ptrain-ckpt fetch 80 --dir " + host.string() + " --from ENDPOINT";
  EXPECT_THAT(complete(host, ""),
              HasSubstr(host.string() + " holds stages 1 and 2 of 3 of step 80; " + fetch));
  fs::remove(host / "step-00000080" / "stage-02.record.json");
  EXPECT_THAT(complete(host, "latest"), HasSubstr(" holds stage 1 of 3 of step 80; " + fetch));
  EXPECT_EQ(words_on_share(disk_, host, Step(80), ""), complete(host, "80"));
  EXPECT_THAT(words_on_share(disk_, host, Step(80), "a.ticket"),
              HasSubstr("--ticket a.ticket, while ptrain-ckpt serve --ticket a.ticket runs"));
  EXPECT_EQ(words_on_share(disk_, host, Step(81), ""), "");
}

TEST_F(CheckpointNameTest, ANameWithinAFolderMayComeWithIt) {
  EXPECT_EQ(name_within(disk_, "3fa9c2e1", ckpt_), "3fa9c2e1");
  EXPECT_EQ(name_within(disk_, "auto", ckpt_), "auto");
  EXPECT_EQ(name_within(disk_, (run_ / "10").string(), ckpt_), "10");
  EXPECT_EQ(name_within(disk_, ckpt_.string(), ckpt_), "latest");
  EXPECT_THROW(name_within(disk_, "elsewhere/10", ckpt_), Error);
}

}  // namespace
}  // namespace ptrain::ckpt

namespace ptrain::ckpt_tool {
namespace {

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
