#include "libcommon/ckpt/hf_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "libcommon/ckpt/safetensors.h"
#include "tests/unit/ckpt/error_of.h"

namespace ptrain::ckpt {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<TensorInfo> tensors(std::vector<std::int64_t> elements) {
  std::vector<TensorInfo> list;
  for (const std::int64_t count : elements) {
    list.push_back({"t" + std::to_string(list.size()), Dtype::f32, {count}});
  }
  return list;
}

std::vector<std::size_t> sizes(const std::vector<HfFile>& files) {
  std::vector<std::size_t> counts;
  for (const HfFile& file : files) counts.push_back(file.tensors.size());
  return counts;
}

TEST(CutIntoFiles, OneFileWhenAllFits) {
  const auto files = cut_into_files(tensors({10, 10}), ByteCount(80));
  ASSERT_EQ(files.size(), 1u);
  EXPECT_EQ(files[0].name, "model.safetensors");
}

TEST(CutIntoFiles, FillsFilesInOrderToTheLimitAndNotBeyond) {
  const auto files = cut_into_files(tensors({10, 10, 10}), ByteCount(79));
  EXPECT_THAT(sizes(files), ElementsAre(1, 1, 1));
  EXPECT_EQ(files[1].name, "model-00002-of-00003.safetensors");
  EXPECT_THAT(sizes(cut_into_files(tensors({10, 10, 10}), ByteCount(80))), ElementsAre(2, 1));
}

TEST(CutIntoFiles, ATensorLargerThanAFileHasOneOfItsOwn) {
  EXPECT_THAT(sizes(cut_into_files(tensors({1, 100, 1}), ByteCount(8))), ElementsAre(1, 1, 1));
}

TEST(CutIntoFiles, MakesNoMoreFilesThanTheLimit) {
  std::vector<std::int64_t> many(kMaxHfFiles, 1);
  EXPECT_EQ(cut_into_files(tensors(many), ByteCount(4)).size(), kMaxHfFiles);
  many.push_back(1);
  EXPECT_THAT(error_of([&] { cut_into_files(tensors(many), ByteCount(4)); }, ErrorKind::usage),
              HasSubstr("10001 files"));
}

TEST(HfIndex, WhatIsWrittenReadsBack) {
  const auto files = cut_into_files(tensors({10, 10, 10}), ByteCount(80));
  const std::string text = index_json(files);
  EXPECT_EQ(nlohmann::json::parse(text)["metadata"]["total_size"], 120);
  const HfIndex index = parse_hf_index(text, "index");
  EXPECT_EQ(index.size(), 3u);
  EXPECT_EQ(index.at("t2"), "model-00002-of-00002.safetensors");
}

std::string index_with(const std::string& file) {
  return nlohmann::json{{"weight_map", {{"w", file}}}}.dump();
}

TEST(HfIndex, NamesAreThoseOfFilesBesideIt) {
  for (const std::string name : {"../model.safetensors", "/etc/model.safetensors",
                                 "a/b.safetensors", "..", "", ".safetensors", ".hidden.safetensors",
                                 "model.bin", "a\\b.safetensors", "new\nline.safetensors"}) {
    EXPECT_THAT(error_of([&] { parse_hf_index(index_with(name), "index"); }),
                HasSubstr("beside the index"))
        << name;
  }
  const std::string stem(kMaxHfFileNameBytes - std::string(".safetensors").size(), 'a');
  parse_hf_index(index_with(stem + ".safetensors"), "index");
  EXPECT_THAT(error_of([&] { parse_hf_index(index_with(stem + "a.safetensors"), "index"); }),
              HasSubstr("beside the index"));
}

TEST(HfIndex, OnlyAMapFromTensorsToFilesIsOne) {
  for (const std::string text :
       {"{}", R"({"weight_map":{}})", R"({"weight_map":[]})", R"({"weight_map":3})",
        R"({"weight_map":{"w":null}})", R"({"weight_map":{"w":["a.safetensors"]}})", "[]", "",
        R"({"weight_map":{"w":"a.safetensors","w":"b.safetensors"}})",
        R"({"weight_map":{"w":"a.safetensors"}} {})"}) {
    EXPECT_NE(error_of([&] { parse_hf_index(text, "index"); }), "") << text;
  }
  EXPECT_NE(error_of([&] { parse_hf_index("{\"weight_map\":{\"\xff\":\"a.safetensors\"}}", "i"); }),
            "");
}

TEST(HfIndex, SizesHaveLimits) {
  std::string text = index_with("a.safetensors");
  text.resize(kMaxHfIndexBytes, ' ');
  parse_hf_index(text, "index");
  text += ' ';
  EXPECT_THAT(error_of([&] { parse_hf_index(text, "index"); }), HasSubstr("at most"));
  nlohmann::json files;
  for (std::size_t i = 0; i <= kMaxHfFiles; ++i) {
    files[std::to_string(i)] = "m" + std::to_string(i) + ".safetensors";
  }
  EXPECT_THAT(error_of([&] {
                parse_hf_index(nlohmann::json{{"weight_map", files}}.dump(), "index");
              }),
              HasSubstr("10001 files"));
  files.erase("0");
  EXPECT_EQ(parse_hf_index(nlohmann::json{{"weight_map", files}}.dump(), "index").size(),
            kMaxHfFiles);
}

}  // namespace
}  // namespace ptrain::ckpt
