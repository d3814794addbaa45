#include "libcommon/ckpt/safetensors.h"

#include <fstream>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/ckpt/error_of.h"
#include "tests/unit/os/temporary_directory.h"

namespace ptrain::ckpt {
namespace {

using ::testing::HasSubstr;

SafetensorsHeader parse(const std::string& json, std::uint64_t data_bytes) {
  return parse_safetensors_header(json, 8 + json.size() + data_bytes, "x.safetensors");
}

std::string refusal(const std::string& json, std::uint64_t data_bytes) {
  return error_of([&] { parse(json, data_bytes); });
}

std::string tensor(const std::string& name, std::uint64_t begin, std::uint64_t end) {
  return fmt::format(R"("{}":{{"dtype":"U8","shape":[{}],"data_offsets":[{},{}]}})", name,
                     end - begin, begin, end);
}

TEST(SafetensorsHeader, WhatIsWrittenReadsBackInItsOrder) {
  const std::vector<TensorInfo> infos = {{"z", Dtype::f32, {2, 3}},
                                         {"a", Dtype::bf16, {}},
                                         {"empty", Dtype::i64, {0, 5}},
                                         {"m \"q\" \\ \xc3\xa9", Dtype::boolean, {7}}};
  const std::string text = safetensors_header(infos, {{"format", "pt"}});
  EXPECT_EQ(text.size() % kAlignment, 0u);
  const auto header = parse(text.substr(8), 24 + 2 + 0 + 7);
  ASSERT_EQ(header.tensors.size(), infos.size());
  for (std::size_t i = 0; i < infos.size(); ++i) EXPECT_EQ(header.tensors[i].info, infos[i]);
  EXPECT_EQ(header.data_begin, text.size());
  EXPECT_EQ(header.tensors[0].begin, text.size());
  EXPECT_EQ(header.tensors[3].end, text.size() + 33);
  EXPECT_EQ(header.metadata, (Metadata{{"format", "pt"}}));
}

TEST(SafetensorsHeader, IsByteForByteWhatTheManualSays) {
  const std::vector<TensorInfo> infos = {{"w", Dtype::f32, {2}}, {"b", Dtype::f32, {1}}};
  const std::string json =
      R"({"__metadata__":{"format":"pt"},"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
      R"("b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}})";
  const std::string text = safetensors_header(infos, pytorch_metadata());
  EXPECT_EQ(text.substr(8, json.size()), json);
  EXPECT_EQ(text.find_first_not_of(' ', 8 + json.size()), std::string::npos);
  EXPECT_EQ(static_cast<unsigned char>(text[0]), text.size() - 8);
}

TEST(SafetensorsHeader, AnEmptyFileOfTensorsIsValid) {
  EXPECT_TRUE(parse("{}", 0).tensors.empty());
  EXPECT_TRUE(parse("{}    ", 0).tensors.empty());
}

TEST(SafetensorsHeader, TensorsMayStandInAnyOrderInTheJson) {
  const auto header = parse("{" + tensor("b", 3, 8) + "," + tensor("a", 0, 3) + "}", 8);
  EXPECT_EQ(header.tensors[0].info.name, "a");
  EXPECT_EQ(header.tensors[1].info.name, "b");
}

TEST(SafetensorsHeader, HolesOverlapsAndWrongLengthsAreRefused) {
  const auto two = [](std::uint64_t end, std::uint64_t begin) {
    return "{" + tensor("a", 0, end) + "," + tensor("b", begin, 8) + "}";
  };
  EXPECT_EQ(parse(two(3, 3), 8).tensors.size(), 2u);
  EXPECT_THAT(refusal(two(3, 4), 8), HasSubstr("after a hole from 3"));
  EXPECT_THAT(refusal(two(4, 3), 8), HasSubstr("inside the one before, which ends at 4"));
  EXPECT_THAT(refusal(two(3, 3), 9), HasSubstr("8 bytes of data, the file holds 9"));
  EXPECT_THAT(refusal(two(3, 3), 7), HasSubstr("8 bytes of data, the file holds 7"));
  EXPECT_THAT(refusal("{" + tensor("a", 1, 8) + "}", 8), HasSubstr("hole from 0"));
  EXPECT_THAT(refusal("{" + tensor("a", 0, 8) + "," + tensor("b", 0, 8) + "}", 8),
              HasSubstr("inside"));
}

TEST(SafetensorsHeader, OffsetsMustFitShapeAndDtype) {
  const auto f32 = [](const std::string& shape, const std::string& offsets) {
    return fmt::format(R"({{"t":{{"dtype":"F32","shape":{},"data_offsets":{}}}}})", shape, offsets);
  };
  EXPECT_EQ(parse(f32("[2]", "[0,8]"), 8).tensors.size(), 1u);
  EXPECT_EQ(parse(f32("[]", "[0,4]"), 4).tensors.size(), 1u);
  EXPECT_THAT(refusal(f32("[2]", "[0,7]"), 7), HasSubstr("[0,7] for 8 bytes of F32"));
  EXPECT_THAT(refusal(f32("[2]", "[8,0]"), 8), HasSubstr("tensor \"t\""));
  EXPECT_THAT(refusal(f32("[2]", "[0]"), 8), HasSubstr("needs two numbers"));
  EXPECT_THAT(refusal(f32("[2]", "[0,8,8]"), 8), HasSubstr("more than two"));
  EXPECT_THAT(refusal(f32("[-2]", "[0,8]"), 8), HasSubstr("negative"));
  EXPECT_THAT(refusal(f32("[2.0]", "[0,8]"), 8), HasSubstr("no integer"));
  EXPECT_THAT(refusal(f32("[\"2\"]", "[0,8]"), 8), HasSubstr("a string where none belongs"));
  EXPECT_THAT(refusal(f32("[[2]]", "[0,8]"), 8), HasSubstr("an array where none belongs"));
  EXPECT_THAT(refusal(f32("2", "[0,8]"), 8), HasSubstr("a number where none belongs"));
}

TEST(SafetensorsHeader, ShapesThatOverflowAreRefused) {
  const auto shaped = [](const std::string& shape) {
    return fmt::format(R"({{"t":{{"dtype":"F32","shape":{},"data_offsets":[0,0]}}}})", shape);
  };
  EXPECT_THAT(refusal(shaped("[4294967296,4294967296]"), 0), HasSubstr("does not fit in 64 bits"));
  EXPECT_THAT(refusal(shaped("[9223372036854775808]"), 0), HasSubstr("is too large"));
  EXPECT_THAT(refusal(shaped("[99999999999999999999999]"), 0), HasSubstr("no integer"));
}

TEST(SafetensorsHeader, MissingUnknownAndRepeatedFieldsAreRefused) {
  EXPECT_THAT(refusal(R"({"t":{"dtype":"U8","shape":[]}})", 1), HasSubstr("no data_offsets"));
  EXPECT_THAT(refusal(R"({"t":{"dtype":"U8","data_offsets":[0,1]}})", 1), HasSubstr("no shape"));
  EXPECT_THAT(refusal(R"({"t":{"shape":[],"data_offsets":[0,1]}})", 1), HasSubstr("no dtype"));
  EXPECT_THAT(refusal(R"({"t":{"dtype":"U8","dtype":"U8","shape":[],"data_offsets":[0,1]}})", 1),
              HasSubstr("the field \"dtype\" twice"));
  EXPECT_THAT(refusal(R"({"t":{"dtype":"U8","shape":[],"data_offsets":[0,1],"x":1}})", 1),
              HasSubstr("unknown field \"x\""));
  EXPECT_THAT(refusal(R"({"t":{"dtype":"F31","shape":[],"data_offsets":[0,1]}})", 1),
              HasSubstr("unknown dtype \"F31\""));
}

TEST(SafetensorsHeader, ATensorGivenTwiceIsRefused) {
  EXPECT_THAT(refusal("{" + tensor("a", 0, 4) + "," + tensor("a", 4, 8) + "}", 8),
              HasSubstr("tensor \"a\": given twice"));
}

TEST(SafetensorsHeader, NamesAreNonEmptyUtf8WithoutControlCharactersAndBounded) {
  const auto named = [](const std::string& name) { return "{" + tensor(name, 0, 1) + "}"; };
  EXPECT_THAT(refusal(named(""), 1), HasSubstr("without a name"));
  EXPECT_THAT(refusal(named("a\\u0000b"), 1), HasSubstr("control character"));
  EXPECT_THAT(refusal(named("a\\nb"), 1), HasSubstr("control character"));
  EXPECT_THAT(refusal(named("\xff\xfe"), 1), HasSubstr("not JSON"));
  EXPECT_THAT(refusal(named("\xc0\xaf"), 1), HasSubstr("not JSON"));
  EXPECT_EQ(parse(named(std::string(kMaxTensorNameBytes, 'n')), 1).tensors.size(), 1u);
  EXPECT_THAT(refusal(named(std::string(kMaxTensorNameBytes + 1, 'n')), 1),
              HasSubstr("1025 bytes, at most 1024"));
}

TEST(SafetensorsHeader, MetadataIsStringToString) {
  EXPECT_EQ(parse(R"({"__metadata__":{"a":"b"}})", 0).metadata, (Metadata{{"a", "b"}}));
  EXPECT_THAT(refusal(R"({"__metadata__":{"a":1}})", 0), HasSubstr("a number"));
  EXPECT_THAT(refusal(R"({"__metadata__":{"a":{}}})", 0), HasSubstr("an object"));
  EXPECT_THAT(refusal(R"({"__metadata__":{"a":[]}})", 0), HasSubstr("an array"));
  EXPECT_THAT(refusal(R"({"__metadata__":"a"})", 0), HasSubstr("a string"));
  EXPECT_THAT(refusal(R"({"__metadata__":{"a":"b","a":"c"}})", 0), HasSubstr("twice"));
  EXPECT_THAT(refusal(R"({"__metadata__":{},"__metadata__":{}})", 0), HasSubstr("twice"));
}

TEST(SafetensorsHeader, OnlyOneJsonObjectIsAHeader) {
  EXPECT_THAT(refusal("", 0), HasSubstr("does not start with {"));
  EXPECT_THAT(refusal(" {}", 0), HasSubstr("does not start with {"));
  EXPECT_THAT(refusal("[]", 0), HasSubstr("does not start with {"));
  EXPECT_THAT(refusal("{", 0), HasSubstr("not JSON"));
  EXPECT_THAT(refusal("{}{}", 0), HasSubstr("not JSON"));
  EXPECT_THAT(refusal(std::string("{}\0{}", 5), 0), HasSubstr("NUL at byte 2"));
  EXPECT_THAT(refusal(R"({"t":null})", 0), HasSubstr("null"));
  EXPECT_THAT(refusal(R"({"t":true})", 0), HasSubstr("boolean"));
  EXPECT_THAT(refusal(R"({"t":{"dtype":{}}})", 0), HasSubstr("an object where none belongs"));
}

TEST(SafetensorsHeader, DimensionsAndTensorsHaveALimit) {
  const auto rank = [](std::size_t n) {
    return fmt::format(R"({{"t":{{"dtype":"U8","shape":[{}],"data_offsets":[0,1]}}}})",
                       fmt::join(std::vector<int>(n, 1), ","));
  };
  EXPECT_EQ(parse(rank(kMaxRank), 1).tensors[0].info.shape.size(), kMaxRank);
  EXPECT_THAT(refusal(rank(kMaxRank + 1), 1), HasSubstr("more than 16 dimensions"));

  std::string many = "{";
  for (std::size_t i = 0; i < kMaxTensors; ++i) many += tensor(fmt::format("t{}", i), 0, 0) + ",";
  many.back() = '}';
  EXPECT_EQ(parse(many, 0).tensors.size(), kMaxTensors);
  many.back() = ',';
  EXPECT_THAT(refusal(many + tensor("one more", 0, 0) + "}", 0),
              HasSubstr("more than 131072 tensors"));
}

TEST(SafetensorsHeader, MetadataEntriesHaveALimit) {
  const auto entries = [](std::size_t n) {
    std::string text = R"({"__metadata__":{)";
    for (std::size_t i = 0; i < n; ++i) text += fmt::format("\"k{}\":\"\",", i);
    text.back() = '}';
    return text + "}";
  };
  EXPECT_EQ(parse(entries(kMaxMetadataEntries), 0).metadata.size(), kMaxMetadataEntries);
  EXPECT_THAT(refusal(entries(kMaxMetadataEntries + 1), 0), HasSubstr("more than 4096"));
}

class SafetensorsFile : public ::testing::Test {
 protected:
  SafetensorsHeader read(const std::string& bytes) {
    const auto path = directory_.path() / "x";
    std::ofstream(path, std::ios::binary) << bytes;
    os::PosixStorage storage;
    return read_safetensors_header(*storage.open(path), "x");
  }
  static std::string length(std::uint64_t n) {
    std::string bytes(8, '\0');
    for (std::size_t i = 0; i < 8; ++i) bytes[i] = static_cast<char>(n >> (8 * i));
    return bytes;
  }

  os::TemporaryDirectory directory_;
};

TEST_F(SafetensorsFile, IsReadFromItsHeaderAlone) {
  const std::string json = "{" + tensor("a", 0, 3) + "}";
  EXPECT_EQ(read(length(json.size()) + json + "abc").tensors[0].info.name, "a");
}

TEST_F(SafetensorsFile, AHeaderLongerThanTheFileOrTheFormatAllowsIsNotAllocated) {
  EXPECT_THAT(error_of([&] { read("short"); }), HasSubstr("too short"));
  EXPECT_THAT(error_of([&] { read(length(3) + "{}"); }),
              HasSubstr("header of 3 bytes in a file of 10"));
  EXPECT_THAT(error_of([&] { read(length(kMaxHeaderBytes) + "{}"); }), HasSubstr("in a file of"));
  EXPECT_THAT(error_of([&] { read(length(kMaxHeaderBytes + 1) + "{}"); }),
              HasSubstr("at most 100000000"));
  EXPECT_THAT(error_of([&] { read(length(~0ull) + "{}"); }), HasSubstr("at most 100000000"));
}

TEST_F(SafetensorsFile, AHeaderAtTheFormatsLimitIsRead) {
  std::string json = "{" + tensor("a", 0, 3) + "}";
  json.resize(kMaxHeaderBytes, ' ');
  EXPECT_EQ(parse(json, 3).tensors.size(), 1u);
  json.push_back(' ');
  EXPECT_THAT(refusal(json, 3), HasSubstr("at most 100000000"));
}

}  // namespace
}  // namespace ptrain::ckpt
