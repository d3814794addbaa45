#include "libcommon/ckpt/manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "libcommon/ckpt/weights_digest.h"
#include "tests/unit/ckpt/error_of.h"
#include "tests/unit/ckpt/sample_checkpoint.h"
#include "tests/unit/os/temporary_directory.h"

namespace ptrain::ckpt {
namespace {

using ::testing::HasSubstr;

class ManifestTest : public ::testing::Test {
 protected:
  std::vector<StageRecord> records(const SampleCheckpoint& sample,
                                   const std::vector<std::int64_t>& cut) {
    CheckpointStore store(disk_, directory_.path(), "test");
    std::vector<StageRecord> list;
    for (std::uint32_t i = 0; i < cut.size(); ++i) {
      list.push_back(store.write_stage(sample.stage(i, cut)));
    }
    return list;
  }
  template <class Change>
  std::string refusal(const Manifest& manifest, Change&& change) {
    auto value = nlohmann::json::parse(canonical_json(manifest));
    change(value);
    return error_of([&] { parse_manifest(value.dump(), "m.json"); });
  }

  os::TemporaryDirectory directory_;
  os::PosixStorage disk_;
};

TEST_F(ManifestTest, ReadsBackFromItsCanonicalForm) {
  const Manifest manifest = make_manifest(records(SampleCheckpoint(Step(3)), {1, 3, 4}));
  EXPECT_EQ(parse_manifest(canonical_json(manifest), "m.json"), manifest);
  EXPECT_EQ(checkpoint_id(manifest).digest, sha256(canonical_json(manifest)));
}

TEST_F(ManifestTest, DoesNotDependOnTheOrderOfTheRecords) {
  auto list = records(SampleCheckpoint(Step(3)), {1, 3, 4});
  const Manifest manifest = make_manifest(list);
  std::swap(list[0], list[2]);
  EXPECT_EQ(make_manifest(list), manifest);
}

TEST_F(ManifestTest, WeightsHashIsTheSameForEveryCutAndOtherForOtherWeights) {
  const SampleCheckpoint sample(Step(3));
  const auto one = make_manifest(records(sample, {4}));
  const auto four = make_manifest(records(sample, {1, 2, 3, 4}));
  EXPECT_EQ(one.weights_sha256, four.weights_sha256);
  EXPECT_NE(checkpoint_id(one), checkpoint_id(four));
  const auto other = make_manifest(records(SampleCheckpoint(Step(3), {.seed = 2}), {4}));
  EXPECT_NE(one.weights_sha256, other.weights_sha256);
}

TEST_F(ManifestTest, OfACutInsideALayerIsVersion2AndHasTheSameWeights) {
  const SampleCheckpoint sample(Step(3));
  const std::vector<job::StageSpan> cut{{0, 2, true, false, false, true},
                                        {1, 4, false, true, true}};
  CheckpointStore store(disk_, directory_.path(), "test");
  std::vector<StageRecord> list;
  for (std::uint32_t i = 0; i < cut.size(); ++i) {
    list.push_back(store.write_stage(sample.stage_of(i, cut)));
  }
  const Manifest manifest = make_manifest(list);
  EXPECT_EQ(parse_manifest(canonical_json(manifest), "m.json"), manifest);
  EXPECT_EQ(nlohmann::json::parse(canonical_json(manifest))["version"], 2);
  const Manifest whole = make_manifest(records(sample, {4}));
  EXPECT_EQ(nlohmann::json::parse(canonical_json(whole))["version"], 1);
  EXPECT_EQ(manifest.weights_sha256, whole.weights_sha256);

  list[1] = store.write_stage(sample.stage(1, {1, 4}));
  EXPECT_THAT(error_of([&] { make_manifest(list); }),
              HasSubstr("stage 1 begins at layer 1, the one before ends at the MLP of layer 1"));
}

TEST_F(ManifestTest, WeightsHashIsTheOneThatTheManualDefines) {
  const SampleCheckpoint sample(Step(3), {.tied = true});
  std::string text;
  for (const auto& parameter : job::parameters(sample.run().model)) {
    const Sha256Digest digest = sha256(sample.tensors().at(parameter.name));
    text += parameter.name + '\0';
    text.append(reinterpret_cast<const char*>(digest.data()), digest.size());
  }
  EXPECT_EQ(make_manifest(records(sample, {2, 4})).weights_sha256, sha256(text));
}

TEST_F(ManifestTest, RecordsThatDoNotMakeOneCheckpointAreRefused) {
  const auto list = records(SampleCheckpoint(Step(3)), {1, 3, 4});
  const auto refuse = [](std::vector<StageRecord> some) {
    return error_of([&] { make_manifest(some); });
  };
  EXPECT_THAT(refuse({}), HasSubstr("there are none"));
  EXPECT_THAT(refuse({list[0], list[2]}), HasSubstr("stage-01.record.json is missing"));
  EXPECT_THAT(refuse({list[0], list[1], list[1], list[2]}),
              HasSubstr("stage-01.record.json is given twice"));
  auto other = list;
  other[1].run.cursor += 1;
  EXPECT_THAT(refuse(other), HasSubstr("not of the same step of the same run"));
  other = list;
  other[1].stage_count = 4;
  EXPECT_THAT(refuse(other), HasSubstr("of 4 stages"));
  other = list;
  other[1].span.layer_begin = 2;
  EXPECT_THAT(refuse(other), HasSubstr("begins at layer 2, the one before ends at layer 1"));
}

TEST_F(ManifestTest, HoldersOfATiedEmbeddingMustAgree) {
  const SampleCheckpoint sample(Step(3), {.tied = true});
  auto list = records(sample, {2, 4});
  EXPECT_EQ(list[1].model.tensors.back().info.name, "model.embed_tokens.weight");
  make_manifest(list);
  list[1].model.tensors.back().sha256[0] ^= std::byte(1);
  EXPECT_THAT(error_of([&] { make_manifest(list); }),
              HasSubstr("\"model.embed_tokens.weight\" has SHA-256"));
}

TEST_F(ManifestTest, ManifestsThatNoRecordsMakeAreRefused) {
  const Manifest manifest = make_manifest(records(SampleCheckpoint(Step(3)), {1, 3, 4}));
  EXPECT_THAT(refusal(manifest, [](auto& m) { m["stages"].clear(); }), HasSubstr("0 stages"));
  EXPECT_THAT(refusal(manifest, [](auto& m) { m["stages"].erase(1); }), HasSubstr("stages[1]"));
  EXPECT_THAT(refusal(manifest, [](auto& m) { m["stages"][1]["span"]["layer_end"] = 2; }),
              HasSubstr("begins at layer 3, the one before ends at layer 2"));
  EXPECT_THAT(
      refusal(manifest, [](auto& m) { m["stages"][0]["record"]["name"] = "../record.json"; }),
      HasSubstr("expected \"stage-00.record.json\""));
  EXPECT_THAT(refusal(manifest, [](auto& m) { m["format"] = "x"; }), HasSubstr("format"));
  EXPECT_THAT(refusal(manifest, [](auto& m) { m["more"] = 1; }), HasSubstr("unknown key"));
  const std::string text = canonical_json(manifest);
  EXPECT_THAT(error_of([&] { parse_manifest(" " + text, "m.json"); }), HasSubstr("start with {"));
  EXPECT_THAT(error_of([&] { parse_manifest(text + " ", "m.json"); }),
              HasSubstr("not in canonical form"));
  EXPECT_THAT(error_of([] { parse_manifest(std::string(kMaxManifestBytes + 1, ' '), "m.json"); }),
              HasSubstr("at most"));
}

TEST(CheckpointId, ReadsBackFromHexadecimal) {
  const CheckpointId id{sha256("x")};
  EXPECT_EQ(checkpoint_id_from_hex(id.hex()), id);
  EXPECT_EQ(checkpoint_id_from_hex("12"), std::nullopt);
}

}  // namespace
}  // namespace ptrain::ckpt
