#include "libcommon/data/token_shard_writer.h"

#include <csignal>
#include <vector>

#include <gtest/gtest.h>
#include <sys/resource.h>

#include "libcommon/base/error.h"
#include "tests/unit/data/scratch_directory.h"

namespace ptrain::data {
namespace {

// Files of this process end at so many bytes, as on a full disk, while the object lives.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : previous_handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &previous_);
    const rlimit limit{.rlim_cur = bytes, .rlim_max = previous_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &previous_);
    std::signal(SIGXFSZ, previous_handler_);
  }

 private:
  void (*previous_handler_)(int);
  rlimit previous_{};
};

TEST(TokenShardWriter, TheShardAppearsOnlyWhenItIsCommitted) {
  const ScratchDirectory scratch;
  TokenShardWriter writer(scratch / "a.bin", TokenWidth::bits16);
  writer.append(std::vector<std::uint32_t>{1, 2});
  writer.append(std::vector<std::uint32_t>{3});
  writer.seal();
  EXPECT_FALSE(std::filesystem::exists(scratch / "a.bin"));
  os::PosixStorage storage;
  writer.commit(storage);
  EXPECT_EQ(TokenShard(scratch / "a.bin").token_count(), 3U);
  EXPECT_EQ(scratch.file_count(), 1);
}

TEST(TokenShardWriter, WithoutCommitItLeavesNothing) {
  const ScratchDirectory scratch;
  {
    TokenShardWriter writer(scratch / "a.bin", TokenWidth::bits16);
    writer.append(std::vector<std::uint32_t>{1, 2});
    TokenShardWriter moved(std::move(writer));
    moved.seal();
  }
  EXPECT_EQ(scratch.file_count(), 0);
}

TEST(TokenShardWriter, AnEmptyShardIsValid) {
  const ScratchDirectory scratch;
  write_shard(scratch / "a.bin", {});
  EXPECT_EQ(TokenShard(scratch / "a.bin").token_count(), 0U);
}

TEST(TokenShardWriter, SixteenBitsHold65535AndRefuse65536) {
  const ScratchDirectory scratch;
  write_shard(scratch / "a.bin", {65535}, TokenWidth::bits16);
  TokenShardWriter writer(scratch / "b.bin", TokenWidth::bits16);
  writer.append(std::vector<std::uint32_t>{1, 2});
  EXPECT_ERROR(writer.append(std::vector<std::uint32_t>{3, 65536}), ErrorKind::usage, "b.bin",
               "token 65536 at index 3", "16 bits");
}

TEST(TokenShardWriter, AFullDiskIsAnErrorAndLeavesNothing) {
  const ScratchDirectory scratch;
  {
    const FileSizeLimit limit(4096);
    TokenShardWriter writer(scratch / "a.bin", TokenWidth::bits16);
    writer.append(std::vector<std::uint32_t>((4096 - kShardHeaderBytes) / 2));
    EXPECT_ERROR(writer.append(std::vector<std::uint32_t>{1}), ErrorKind::io, "write", "a.bin",
                 "File too large");
  }
  EXPECT_EQ(scratch.file_count(), 0);
}

TEST(TokenShardWriter, AFolderThatIsNotThereIsNamed) {
  const ScratchDirectory scratch;
  EXPECT_ERROR(TokenShardWriter(scratch / "absent/a.bin", TokenWidth::bits16), ErrorKind::io,
               "create", "absent/a.bin");
}

}  // namespace
}  // namespace ptrain::data
