#include "libcommon/ckpt/record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libcommon/ckpt/record_json.h"
#include "tests/unit/ckpt/error_of.h"
#include "tests/unit/ckpt/sample_checkpoint.h"
#include "tests/unit/os/temporary_directory.h"

namespace ptrain::ckpt {
namespace {

using ::testing::HasSubstr;

class StageRecordTest : public ::testing::Test {
 protected:
  StageRecordTest()
      : store_(disk_, directory_.path(), "test"),
        record_(store_.write_stage(SampleCheckpoint(Step(3)).stage(0, {2, 4}))) {}

  // The record's text with a change made to its parsed form.
  template <class Change>
  std::string changed(Change&& change) {
    auto value = nlohmann::json::parse(canonical_json(record_));
    change(value);
    return value.dump();
  }
  template <class Change>
  std::string refusal(Change&& change) {
    const std::string text = changed(change);
    return error_of([&] { parse_record(text, "r.json"); });
  }

  os::TemporaryDirectory directory_;
  os::PosixStorage disk_;
  CheckpointStore store_;
  StageRecord record_;
};

TEST_F(StageRecordTest, ReadsBackFromItsCanonicalForm) {
  EXPECT_EQ(parse_record(canonical_json(record_), "r.json"), record_);
}

TEST_F(StageRecordTest, WithoutOptimiserReadsBackToo) {
  record_.optim.reset();
  EXPECT_EQ(parse_record(canonical_json(record_), "r.json"), record_);
}

TEST_F(StageRecordTest, AnyOtherSpellingIsRefused) {
  const std::string text = canonical_json(record_);
  EXPECT_THAT(error_of([&] { parse_record(text + "\n", "r.json"); }),
              HasSubstr("not in canonical form: byte"));
  EXPECT_THAT(error_of([&] { parse_record(nlohmann::json::parse(text).dump(1), "r.json"); }),
              HasSubstr("not in canonical form: byte 1"));
}

TEST_F(StageRecordTest, AnotherFormatOrVersionIsRefused) {
  EXPECT_THAT(refusal([](auto& r) { r["format"] = "ptrain-checkpoint"; }), HasSubstr("format"));
  EXPECT_THAT(refusal([](auto& r) { r["version"] = 3; }),
              HasSubstr("version is 3, expected 1 to 2"));
}

TEST_F(StageRecordTest, FilesBearTheNamesThatTheirStageGivesThem) {
  for (const char* name : {"stage-01.model.safetensors", "../stage-00.model.safetensors", "/etc/x",
                           "", ".tmp-test.stage-00.model.safetensors"}) {
    EXPECT_THAT(refusal([&](auto& r) { r["model"]["name"] = name; }),
                HasSubstr("expected \"stage-00.model.safetensors\""));
  }
}

TEST_F(StageRecordTest, StageNumbersStayBelowTheirCountAndTheCountBelowItsLimit) {
  EXPECT_THAT(refusal([](auto& r) { r["stage"] = 2; }), HasSubstr("stage 2 of 2"));
  EXPECT_THAT(refusal([](auto& r) { r["stage_count"] = 0; }), HasSubstr("stage 0 of 0"));
  EXPECT_THAT(refusal([](auto& r) { r["stage_count"] = 1001; }), HasSubstr("from 0 to 1000"));
}

TEST_F(StageRecordTest, SpansThatNoCutGivesAreRefused) {
  const auto span = [this](const char* key, const nlohmann::json& value) {
    return refusal([&](auto& r) { r["span"][key] = value; });
  };
  EXPECT_THAT(span("layer_begin", 1), HasSubstr("which no cut of the model gives it"));
  EXPECT_THAT(span("layer_end", 5), HasSubstr("holds layers 0 to 5 of 4"));
  EXPECT_THAT(span("embedding", false), HasSubstr("which no cut"));
  EXPECT_THAT(span("head", true), HasSubstr("the head"));
}

TEST_F(StageRecordTest, ACutInsideALayerMakesItVersion2WithTheRangeOfItsBlocks) {
  const auto span = [](const StageRecord& record) {
    return nlohmann::json::parse(canonical_json(record))["span"];
  };
  EXPECT_FALSE(span(record_).contains("block_begin"));
  EXPECT_EQ(nlohmann::json::parse(canonical_json(record_))["version"], 1);

  const std::vector<job::StageSpan> cut{{0, 2, true, false, false, true},
                                        {1, 4, false, true, true}};
  for (std::uint32_t stage = 0; stage < cut.size(); ++stage) {
    const StageRecord record = store_.write_stage(SampleCheckpoint(Step(3)).stage_of(stage, cut));
    EXPECT_EQ(nlohmann::json::parse(canonical_json(record))["version"], 2);
    EXPECT_EQ(parse_record(canonical_json(record), "r.json"), record);
    const int begin = stage == 0 ? 0 : 3;
    const int end = stage == 0 ? 3 : 8;
    EXPECT_EQ(span(record)["block_begin"], begin);
    EXPECT_EQ(span(record)["block_end"], end);
    record_ = record;
    const auto change = [&](const char* key, int value) {
      return refusal([&](auto& r) { r["span"][key] = value; });
    };
    EXPECT_THAT(change("layer_end", 3), HasSubstr("not in canonical form"));
    EXPECT_THAT(change("block_end", 9), HasSubstr("no cut of the model"));
    EXPECT_THAT(change("block_end", end - 1),
                ::testing::AnyOf(HasSubstr("layers ask for"), HasSubstr("no cut of the model")));
    EXPECT_THAT(change("block_begin", begin == 0 ? 1 : 2),
                ::testing::AnyOf(HasSubstr("layers ask for"), HasSubstr("no cut of the model")));
  }
}

TEST_F(StageRecordTest, ARangeOfBlocksWhereNoLayerIsCutIsRefused) {
  EXPECT_THAT(refusal([](auto& r) {
                r["span"]["block_begin"] = 0;
                r["span"]["block_end"] = 4;
              }),
              HasSubstr("not in canonical form"));
}

TEST_F(StageRecordTest, TensorsAreExactlyThoseOfTheSpanInFloat32) {
  EXPECT_THAT(refusal([](auto& r) { r["model"]["tensors"][0]["name"] = "model.embed"; }),
              HasSubstr("r.json.model"));
  EXPECT_THAT(refusal([](auto& r) { r["model"]["tensors"][0]["dtype"] = "BF16"; }),
              HasSubstr("r.json.model"));
  EXPECT_THAT(refusal([](auto& r) { r["span"]["layer_end"] = 3; }),
              HasSubstr("the stage's layers ask for"));
}

TEST_F(StageRecordTest, MomentsBelongToParametersOfTheStage) {
  const auto rename = [this](const std::string& name) {
    return refusal([&](auto& r) {
      auto& tensor = r["optim"]["tensors"][0]["name"];
      const auto grown = static_cast<std::int64_t>(name.size()) -
                         static_cast<std::int64_t>(tensor.template get<std::string>().size());
      ASSERT_EQ(grown, 0) << "keeps the header's length, so that only the name is wrong";
      tensor = name;
    });
  };
  EXPECT_THAT(rename("model.embed_tokens.weighx.exp_avg"), HasSubstr("belongs to no parameter"));
  EXPECT_THAT(rename("model.embed_tokens.weight.EXP_AVG"), HasSubstr("belongs to no parameter"));
  EXPECT_THAT(rename("model.embed_tokens.weight.exp/avg"), HasSubstr("belongs to no parameter"));
}

TEST_F(StageRecordTest, SizesFollowFromTheTensors) {
  const std::uint64_t bytes = record_.model.file.bytes.value();
  EXPECT_THAT(refusal([&](auto& r) { r["model"]["bytes"] = bytes + 1; }),
              HasSubstr("its tensors take " + std::to_string(bytes)));
  EXPECT_THAT(refusal([](auto& r) { r["model"]["chunk_sha256"].clear(); }),
              HasSubstr("0 chunk hashes"));
  EXPECT_THAT(refusal([](auto& r) {
                auto& chunks = r["model"]["chunk_sha256"];
                chunks.push_back(chunks[0]);
              }),
              HasSubstr("2 chunk hashes"));
}

TEST_F(StageRecordTest, ShapesThatOverflowAreRefusedBeforeAnythingIsAllocated) {
  EXPECT_THAT(refusal([](auto& r) {
                r["model"]["tensors"][0]["shape"] = {1ll << 40, 1ll << 40};
              }),
              HasSubstr("too large for a file"));
  EXPECT_THAT(refusal([](auto& r) { r["model"]["tensors"][0]["shape"] = {-1}; }),
              HasSubstr("integers from 0"));
  EXPECT_THAT(refusal([](auto& r) {
                r["model"]["tensors"][0]["shape"] = nlohmann::json::array();
                for (int i = 0; i < 17; ++i) r["model"]["tensors"][0]["shape"].push_back(1);
              }),
              HasSubstr("at most 16"));
}

TEST_F(StageRecordTest, AModelBeyondTheLimitsIsRefusedBeforeItsParametersAreListed) {
  EXPECT_THAT(refusal([](auto& r) { r["run"]["model"]["num_hidden_layers"] = kMaxLayers + 1; }),
              HasSubstr("from 0 to 4096"));
  EXPECT_THAT(refusal([](auto& r) { r["run"]["model"]["vocab_size"] = kMaxModelDimension + 1; }),
              HasSubstr("from 0 to 2147483648"));
  EXPECT_THAT(refusal([](auto& r) { r["run"]["model"]["rope_theta"] = -1.0; }),
              HasSubstr("a positive number"));
  EXPECT_THAT(refusal([](auto& r) { r["run"]["model"]["model_type"] = "gpt2"; }),
              HasSubstr("\"llama\""));
}

TEST_F(StageRecordTest, HashesAre64HexadecimalDigits) {
  EXPECT_THAT(refusal([](auto& r) { r["model"]["sha256"] = "00"; }), HasSubstr("64 lower-case"));
  EXPECT_THAT(refusal([](auto& r) { r["model"]["chunk_sha256"][0] = 1; }),
              HasSubstr("chunk_sha256[0]"));
  EXPECT_THAT(refusal([](auto& r) { r["run"]["job_hash"] = "x"; }), HasSubstr("job_hash"));
}

TEST_F(StageRecordTest, UnknownAndMissingKeysAreNamed) {
  EXPECT_THAT(refusal([](auto& r) { r["extra"] = 1; }), HasSubstr("unknown key \"extra\""));
  EXPECT_THAT(refusal([](auto& r) { r["span"].erase("head"); }), HasSubstr("no key \"head\""));
}

TEST_F(StageRecordTest, TextBeyondTheLimitIsNotParsed) {
  EXPECT_THAT(error_of([] { parse_record(std::string(kMaxRecordBytes + 1, ' '), "r.json"); }),
              HasSubstr("at most"));
  EXPECT_THAT(error_of([] { parse_record(std::string(kMaxRecordBytes, ' '), "r.json"); }),
              HasSubstr("does not start with {"));
}

}  // namespace
}  // namespace ptrain::ckpt
