// Export and import of whole models, and what import refuses.

#include <cstring>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <sys/stat.h>

#include "libcommon/ckpt/hf_export.h"
#include "libcommon/ckpt/hf_import.h"
#include "libcommon/ckpt/shard_writer.h"
#include "libcommon/ckpt/verify.h"
#include "libcommon/job/partition.h"
#include "libcommon/metrics/process_memory.h"
#include "libcommon/os/read_file.h"
#include "tests/unit/ckpt/damage.h"
#include "tests/unit/ckpt/error_of.h"
#include "tests/unit/ckpt/sample_checkpoint.h"
#include "tests/unit/os/temporary_directory.h"

namespace ptrain::ckpt {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

constexpr Step kStep(10);
constexpr std::size_t kMaxJson = 1 << 20;

class HfModelTest : public ::testing::Test {
 protected:
  // A saved checkpoint, whose weights are finite numbers.
  CheckpointReader saved(const SampleOptions& options = {}) {
    CheckpointStore store(disk_, directory_.path() / "ckpt", "test");
    const SampleCheckpoint sample(kStep, options);
    StageState state = sample.stage(0, {4});
    for (TensorView& tensor : state.model) tensor.bytes = finite(tensor);
    const StageRecord record = store.write_stage(state);
    store.write_manifest(make_manifest({&record, 1}));
    return CheckpointReader(disk_, store.step_directory(kStep));
  }
  std::span<const std::byte> finite(const TensorView& tensor) {
    auto& numbers = numbers_[tensor.info.name];
    numbers.resize(tensor.bytes.size() / sizeof(float));
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      numbers[i] = static_cast<float>(tensor.bytes[4 * i]) / 256 - 0.5f;
    }
    return std::as_bytes(std::span(numbers));
  }
  CheckpointId import_to(const std::string& name, std::size_t stages = 1) {
    const HfModel model(disk_, hf_);
    CheckpointStore target = store(name);
    return import_hf(model, job::partition(model.config(), stages, {}), disk_, target);
  }
  CheckpointStore store(const std::string& name) {
    return {disk_, directory_.path() / name, "test"};
  }
  std::string text_of(const std::string& name) {
    return os::read_file(disk_, hf_ / name, kMaxJson);
  }
  json config() { return json::parse(text_of("config.json")); }
  void set_config(const std::string& key, const json& value) {
    json changed = config();
    changed[key] = value;
    write_text(hf_ / "config.json", changed.dump());
  }
  std::string refusal(ErrorKind kind = ErrorKind::corrupt) {
    return error_of([&] { HfModel(disk_, hf_); }, kind);
  }
  // Writes model.safetensors anew, with other tensors.
  void write_weights(const std::vector<TensorInfo>& infos) {
    ShardWriter writer(disk_, hf_ / "model.safetensors", "test", infos);
    for (const TensorInfo& info : infos) {
      writer.append(std::vector<std::byte>(byte_size(info).value(), std::byte{0x3c}));
    }
    writer.finish();
    writer.commit();
  }
  std::vector<TensorInfo> model_tensors(Dtype dtype) {
    std::vector<TensorInfo> infos;
    const job::ModelConfig model = SampleCheckpoint(kStep).run().model;
    for (const auto& parameter : job::parameters(model)) {
      infos.push_back({parameter.name, dtype, parameter.shape});
    }
    return infos;
  }

  os::TemporaryDirectory directory_;
  os::PosixStorage disk_;
  std::filesystem::path hf_ = directory_.path() / "hf";
  std::map<std::string, std::vector<float>> numbers_;
};

TEST_F(HfModelTest, ImportOfAnExportHasTheSameWeightsWhateverTheFilesAndTheCut) {
  for (const bool tied : {false, true}) {
    const CheckpointReader source = saved({.tied = tied});
    for (const std::uint64_t most : {1ull << 30, 2000ull, 1ull}) {
      export_hf(source, disk_, hf_, {.max_file_bytes = ByteCount(most), .replace = true});
      for (const std::size_t stages : {1, 3}) {
        const std::string name = fmt::format("{}-{}-{}", tied, most, stages);
        import_to(name, stages);
        const Manifest manifest = store(name).read_manifest(Step(0));
        EXPECT_EQ(manifest.weights_sha256, source.manifest().weights_sha256);
        EXPECT_EQ(manifest.run.model, source.manifest().run.model);
        EXPECT_EQ(manifest.run.job, "");
        EXPECT_TRUE(verify_step(disk_, store(name).step_directory(Step(0)),
                                {.thoroughness = Thoroughness::data})
                        .whole());
      }
    }
  }
}

TEST_F(HfModelTest, AnExportHasTheFilesThatTransformersLooksFor) {
  const CheckpointReader source = saved({.tied = true});
  const HfExported exported =
      export_hf(source, disk_, hf_, {.sentencepiece_model = "the model's bytes"});
  EXPECT_THAT(disk_.list(hf_), UnorderedElementsAre("README.md", "config.json",
                                                    "generation_config.json", "model.safetensors",
                                                    "tokenizer.model", "tokenizer_config.json"));
  EXPECT_EQ(config()["architectures"], json::array({"LlamaForCausalLM"}));
  EXPECT_EQ(config()["tie_word_embeddings"], true);
  EXPECT_EQ(config()["torch_dtype"], "float32");
  EXPECT_EQ(text_of("tokenizer.model"), "the model's bytes");
  EXPECT_EQ(json::parse(text_of("tokenizer_config.json"))["tokenizer_class"], "LlamaTokenizer");
  EXPECT_THAT(text_of("README.md"), HasSubstr(source.id().hex()));
  ASSERT_EQ(exported.weights.size(), 1u);
  const auto file = disk_.open(hf_ / "model.safetensors");
  for (const auto& entry : read_safetensors_header(*file, "model").tensors) {
    EXPECT_NE(entry.info.name, "lm_head.weight");
  }
}

TEST_F(HfModelTest, InSeveralFilesTheIndexNamesEachTensorOnce) {
  const CheckpointReader source = saved();
  const HfExported exported = export_hf(source, disk_, hf_, {.max_file_bytes = ByteCount(3000)});
  EXPECT_GT(exported.weights.size(), 2u);
  EXPECT_FALSE(disk_.status(hf_ / "model.safetensors").has_value());
  const HfIndex index = parse_hf_index(text_of("model.safetensors.index.json"), "index");
  EXPECT_EQ(index.size(), job::parameters(source.manifest().run.model).size());
}

TEST_F(HfModelTest, Bfloat16IsRoundedAndImportsAsWhatItIs) {
  const CheckpointReader source = saved();
  export_hf(source, disk_, hf_, {.dtype = Dtype::bf16});
  EXPECT_EQ(config()["torch_dtype"], "bfloat16");
  import_to("once");
  CheckpointStore once = store("once");
  const CheckpointReader imported(disk_, once.step_directory(Step(0)));
  export_hf(imported, disk_, hf_, {.dtype = Dtype::bf16, .replace = true});
  import_to("twice");
  EXPECT_EQ(store("twice").find("latest")->id, imported.id());  // rounding twice changes nothing
}

TEST_F(HfModelTest, AnExportTouchesNothingThatIsThereUnlessToldSo) {
  const CheckpointReader source = saved();
  for (const std::string name :
       {"config.json", "model.safetensors", "model-00001-of-00007.safetensors", "README.md",
        "model.safetensors.index.json", "tokenizer.model"}) {
    std::filesystem::remove_all(hf_);
    std::filesystem::create_directory(hf_);
    write_text(hf_ / name, "somebody's");
    EXPECT_THAT(error_of([&] { export_hf(source, disk_, hf_, {}); }, ErrorKind::usage),
                HasSubstr(name));
    EXPECT_THAT(disk_.list(hf_), ElementsAre(name));
    export_hf(source, disk_, hf_, {.replace = true});
    HfModel(disk_, hf_);
  }
  write_text(hf_ / "notes.txt", "mine");
  export_hf(source, disk_, hf_, {.replace = true});
  EXPECT_EQ(text_of("notes.txt"), "mine");
}

TEST_F(HfModelTest, WhatAnExportThatDiedLeftIsCleared) {
  std::filesystem::create_directory(hf_);
  write_text(hf_ / ".tmp-export.model.safetensors", "a part");
  export_hf(saved(), disk_, hf_, {});
  EXPECT_FALSE(disk_.status(hf_ / ".tmp-export.model.safetensors").has_value());
}

TEST_F(HfModelTest, ModelsThatPtrainDoesNotComputeAreRefusedWithKeyAndValue) {
  export_hf(saved(), disk_, hf_, {});
  const json original = config();
  const std::vector<std::pair<std::string, json>> unsupported{
      {"rope_scaling", {{"rope_type", "llama3"}, {"factor", 8.0}}},
      {"attention_bias", true},
      {"model_type", "qwen2"},
      {"architectures", json::array({"LlamaForSequenceClassification"})},
      {"hidden_act", "gelu"},
      {"quantization_config", {{"bits", 4}}}};
  for (const auto& [key, value] : unsupported) {
    set_config(key, value);
    EXPECT_THAT(refusal(ErrorKind::usage), HasSubstr(key));
    write_text(hf_ / "config.json", original.dump());
  }
  set_config("hidden_size", 1ull << 40);
  refusal(ErrorKind::usage);
}

TEST_F(HfModelTest, AMistralWithoutAWindowIsReadAsTheLlamaThatItIs) {
  const CheckpointReader original = saved();
  export_hf(original, disk_, hf_, {});
  const job::ModelConfig llama = HfModel(disk_, hf_).config();
  set_config("model_type", "mistral");
  set_config("architectures", {"MistralForCausalLM"});
  set_config("sliding_window", nullptr);
  EXPECT_EQ(HfModel(disk_, hf_).config(), llama);
  import_to("imported");
  const CheckpointReader imported(disk_, store("imported").step_directory(Step(0)));
  EXPECT_EQ(imported.manifest().weights_sha256, original.manifest().weights_sha256);
  set_config("sliding_window", 4096);
  EXPECT_THAT(refusal(ErrorKind::usage), HasSubstr("sliding_window = 4096"));
}

TEST_F(HfModelTest, AConfigThatIsNotJsonIsRefused) {
  export_hf(saved(), disk_, hf_, {});
  for (const std::string text :
       {"", "[]", "{", R"({"hidden_size":8,"hidden_size":16})", "{\"a\":\"\xff\"}"}) {
    write_text(hf_ / "config.json", text);
    EXPECT_THAT(refusal(), HasSubstr("config.json")) << text;
  }
  write_text(hf_ / "config.json", std::string((1 << 20) + 1, ' '));
  EXPECT_THAT(refusal(), HasSubstr("at most"));
}

TEST_F(HfModelTest, EveryParameterMustBeThereInItsShapeAndAFloatingType) {
  export_hf(saved(), disk_, hf_, {});
  auto tensors = model_tensors(Dtype::f16);
  write_weights(tensors);
  HfModel(disk_, hf_);

  tensors.back().shape = {8, 32};
  write_weights(tensors);
  EXPECT_THAT(refusal(),
              AllOf(HasSubstr("lm_head.weight"), HasSubstr("[8, 32]"), HasSubstr("[32, 8]")));
  tensors.pop_back();
  write_weights(tensors);
  EXPECT_THAT(refusal(), HasSubstr("no tensor \"lm_head.weight\""));
  write_weights(model_tensors(Dtype::i32));
  EXPECT_THAT(refusal(), HasSubstr("I32, expected F32, BF16 or F16"));
}

TEST_F(HfModelTest, ATensorThatIsNoParameterIsRefusedAndTablesThatFollowAreNot) {
  export_hf(saved(), disk_, hf_, {});
  auto tensors = model_tensors(Dtype::bf16);
  tensors.push_back({"model.layers.0.self_attn.rotary_emb.inv_freq", Dtype::f32, {2}});
  write_weights(tensors);
  HfModel(disk_, hf_);
  tensors.push_back({"score.weight", Dtype::bf16, {2}});
  write_weights(tensors);
  EXPECT_THAT(refusal(), HasSubstr("\"score.weight\" belongs to no parameter"));
}

TEST_F(HfModelTest, ATiedHeadThatIsStoredMustBeTheEmbedding) {
  export_hf(saved(), disk_, hf_, {});
  set_config("tie_word_embeddings", true);
  EXPECT_THAT(refusal(), HasSubstr("although tie_word_embeddings is true"));
  write_weights(model_tensors(Dtype::bf16));  // all elements are equal
  HfModel(disk_, hf_);
}

TEST_F(HfModelTest, TheIndexAndTheFilesMustAgree) {
  export_hf(saved(), disk_, hf_, {.max_file_bytes = ByteCount(3000)});
  const std::string index = "model.safetensors.index.json";
  const json original = json::parse(text_of(index));
  json changed = original;
  changed["weight_map"]["model.norm.weight"] = original["weight_map"]["model.embed_tokens.weight"];
  write_text(hf_ / index, changed.dump());
  EXPECT_THAT(refusal(), HasSubstr("model.norm.weight"));
  changed = original;
  changed["weight_map"]["another"] = original["weight_map"]["model.norm.weight"];
  write_text(hf_ / index, changed.dump());
  EXPECT_THAT(refusal(), HasSubstr("\"another\" is not in"));
  changed = original;
  changed["weight_map"]["model.norm.weight"] = "../ckpt/x.safetensors";
  write_text(hf_ / index, changed.dump());
  EXPECT_THAT(refusal(), HasSubstr("beside the index"));
  write_text(hf_ / index, original.dump());
  std::filesystem::remove(hf_ / original["weight_map"]["model.norm.weight"].get<std::string>());
  EXPECT_THAT(refusal(), HasSubstr("is not here"));
  std::filesystem::remove(hf_ / index);
  EXPECT_THAT(refusal(), HasSubstr("neither model.safetensors nor"));
}

// As the Hub's cache lays a model out: every file a link to a blob.
TEST_F(HfModelTest, LinksToFilesAreFollowed) {
  namespace fs = std::filesystem;
  const CheckpointReader source = saved();
  export_hf(source, disk_, hf_, {.max_file_bytes = ByteCount(2000)});
  const fs::path blobs = directory_.path() / "blobs";
  fs::create_directory(blobs);
  for (const std::string& name : disk_.list(hf_)) {
    fs::rename(hf_ / name, blobs / name);
    fs::create_symlink(fs::path("../blobs") / name, hf_ / name);
  }
  fs::rename(hf_, directory_.path() / "snapshot");
  fs::create_symlink("snapshot", hf_);
  import_to("imported");
  EXPECT_EQ(store("imported").read_manifest(Step(0)).weights_sha256,
            source.manifest().weights_sha256);
}

TEST_F(HfModelTest, PipesFoldersAndLinksToNothingInPlaceOfFilesAreRefused) {
  export_hf(saved(), disk_, hf_, {});
  const auto file = hf_ / "model.safetensors";
  std::filesystem::remove(file);
  std::filesystem::create_symlink(directory_.path() / "elsewhere", file);
  EXPECT_THAT(refusal(), HasSubstr("a symbolic link that leads nowhere"));
  std::filesystem::remove(file);
  ASSERT_EQ(::mkfifo(file.c_str(), 0600), 0);  // reading it would never end
  EXPECT_THAT(refusal(), HasSubstr("not a regular file"));
  std::filesystem::remove(file);
  std::filesystem::create_directory(file);
  EXPECT_THAT(refusal(), HasSubstr("not a regular file"));
}

TEST_F(HfModelTest, AHeaderThatClaimsMoreThanItMayIsRefusedBeforeItIsRead) {
  export_hf(saved(), disk_, hf_, {});
  const auto file = hf_ / "model.safetensors";
  const std::uint64_t claim = 200'000'000;
  std::string text(8, '\0');
  std::memcpy(text.data(), &claim, sizeof(claim));
  write_text(file, text);
  std::filesystem::resize_file(file, claim + 8);  // sparse: the bytes are there, all zero
  const auto before = metrics::peak_rss_bytes();
  EXPECT_THAT(refusal(), HasSubstr("200000000 bytes, at most 100000000 are allowed"));
  EXPECT_LT(metrics::peak_rss_bytes() - before, 16u << 20);
}

TEST_F(HfModelTest, ImportNeverWritesOverACheckpoint) {
  export_hf(saved(), disk_, hf_, {});
  import_to("one");
  EXPECT_THAT(error_of([&] { import_to("one"); }, ErrorKind::usage), HasSubstr("is there already"));
}

TEST_F(HfModelTest, DamageInTheCheckpointEndsTheExportBeforeItsConfig) {
  const CheckpointReader source = saved();
  flip_bit(directory_.path() / "ckpt/step-00000010/stage-00.model.safetensors", 6000);
  EXPECT_THAT(error_of([&] { export_hf(source, disk_, hf_, {}); }), HasSubstr("chunk 0"));
  EXPECT_THAT(disk_.list(hf_), ElementsAre());
}

}  // namespace
}  // namespace ptrain::ckpt
