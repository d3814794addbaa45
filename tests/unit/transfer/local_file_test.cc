// What is kept of a file that is here in part, and what a mended one goes through.

#include "libcommon/transfer/local_file.h"

#include <fstream>
#include <iterator>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libcommon/base/sha256.h"
#include "tests/unit/ckpt/error_of.h"
#include "tests/unit/os/temporary_directory.h"

namespace ptrain::transfer {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
namespace fs = std::filesystem;

constexpr std::size_t kBytes = 2 * ckpt::kChunkBytes + 1000;

struct LocalFileTest : testing::Test {
  os::TemporaryDirectory directory;
  os::PosixStorage storage;
  std::string contents;
  ckpt::FileRecord record;
  fs::path target = directory.path() / "stage-00.model.safetensors";
  fs::path temporary = directory.path() / ".tmp-fetch.stage-00.model.safetensors";

  LocalFileTest() : contents(kBytes, 'x') {
    for (std::size_t i = 0; i < kBytes; ++i) contents[i] = static_cast<char>(i * 31 + (i >> 9));
    record.file = {"stage-00.model.safetensors", ByteCount(kBytes), sha256(contents)};
    for (std::size_t at = 0; at < kBytes; at += ckpt::kChunkBytes) {
      record.chunk_sha256.push_back(
          sha256(std::string_view(contents).substr(at, ckpt::kChunkBytes)));
    }
  }

  LocalFile local(Repair repair = Repair::by_renaming) {
    LocalFile file(storage, directory.path(), record, repair, "fetch");
    file.inspect([](ByteCount) {});
    return file;
  }
  void put(const fs::path& path, const std::string& text) {
    std::ofstream(path, std::ios::binary) << text;
  }
  std::string get(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void write(LocalFile& file, std::uint32_t chunk) {
    const auto piece =
        std::string_view(contents).substr(chunk * ckpt::kChunkBytes, ckpt::kChunkBytes);
    file.write(chunk, std::as_bytes(std::span(piece)));
  }
  std::string damaged_contents() {
    std::string damaged = contents;
    damaged[ckpt::kChunkBytes + 5] ^= 1;
    return damaged;
  }
};

TEST_F(LocalFileTest, WhatIsNotHereIsMissingAndNotDamaged) {
  LocalFile file = local();
  EXPECT_THAT(file.missing(), ElementsAre(0, 1, 2));
  EXPECT_THAT(file.damaged(), IsEmpty());
  EXPECT_EQ(file.chunk_bytes(1), ByteCount(ckpt::kChunkBytes));
  EXPECT_EQ(file.chunk_bytes(2), ByteCount(1000));
  for (const std::uint32_t chunk : {2u, 0u, 1u}) write(file, chunk);
  EXPECT_FALSE(fs::exists(target));
  file.finish();
  EXPECT_EQ(get(target), contents);
  EXPECT_FALSE(fs::exists(temporary));
}

TEST_F(LocalFileTest, AnInterruptedFetchGoesOn) {
  {
    LocalFile file = local();
    write(file, 1);
  }
  LocalFile file = local();
  EXPECT_THAT(file.missing(), ElementsAre(0, 2));
  write(file, 0);
  write(file, 2);
  file.finish();
  EXPECT_EQ(get(target), contents);
}

TEST_F(LocalFileTest, AWholeFileIsLeftAloneAndItsLeftoverRemoved) {
  put(target, contents);
  put(temporary, "left by a fetch");
  const auto before = fs::last_write_time(target);
  LocalFile file = local(Repair::in_place);
  EXPECT_THAT(file.missing(), IsEmpty());
  file.finish();
  EXPECT_EQ(fs::last_write_time(target), before);
  EXPECT_FALSE(fs::exists(temporary));
}

TEST_F(LocalFileTest, AFlippedBitIsFoundAndMendedInPlace) {
  put(target, damaged_contents());
  LocalFile file = local(Repair::in_place);
  EXPECT_THAT(file.missing(), ElementsAre(1));
  EXPECT_THAT(file.damaged(), ElementsAre(1));
  write(file, 1);
  file.finish();
  EXPECT_EQ(get(target), contents);
  EXPECT_FALSE(fs::exists(temporary));
}

TEST_F(LocalFileTest, WithoutItsManifestAFileIsReplacedNotChanged) {
  put(target, damaged_contents());
  LocalFile file = local(Repair::by_renaming);
  EXPECT_THAT(file.missing(), ElementsAre(1));  // the rest is taken from what is here
  write(file, 1);
  EXPECT_EQ(get(target), damaged_contents());
  file.finish();
  EXPECT_EQ(get(target), contents);
}

TEST_F(LocalFileTest, NoFileHasItsSizeBeforeItIsWhole) {
  put(target, contents.substr(0, ckpt::kChunkBytes + 10));
  LocalFile file = local(Repair::in_place);
  EXPECT_THAT(file.missing(), ElementsAre(1, 2));
  write(file, 2);
  EXPECT_EQ(fs::file_size(target), ckpt::kChunkBytes + 10);
  write(file, 1);
  file.finish();
  EXPECT_EQ(get(target), contents);
}

TEST_F(LocalFileTest, BytesBeyondTheEndAreCutOff) {
  put(target, contents + "more");
  LocalFile file = local(Repair::in_place);
  EXPECT_THAT(file.missing(), IsEmpty());
  file.finish();
  EXPECT_EQ(get(target), contents);
}

TEST_F(LocalFileTest, WhatIsNoRegularFileIsRefused) {
  const fs::path elsewhere = directory.path() / "elsewhere";
  put(elsewhere, contents);
  fs::create_symlink(elsewhere, target);
  EXPECT_THAT(ckpt::error_of([&] { local(); }), HasSubstr("not a regular file"));
}

TEST_F(LocalFileTest, AFileIsNotFinishedWhileSomethingIsMissing) {
  LocalFile file = local();
  write(file, 0);
  EXPECT_THAT(ckpt::error_of([&] { file.finish(); }, ErrorKind::internal),
              HasSubstr("2 chunks are missing"));
}

}  // namespace
}  // namespace ptrain::transfer
