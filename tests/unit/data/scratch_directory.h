// A directory of one test's own, gone with the object, and what the tests of shards do in it.

#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>
#include <stdlib.h>

#include "libcommon/data/token_shard_writer.h"

namespace ptrain::data {

class ScratchDirectory {
 public:
  ScratchDirectory() : path_(testing::TempDir() + "/ptrain-XXXXXX") {
    if (::mkdtemp(path_.data()) == nullptr) throw std::runtime_error("mkdtemp " + path_);
  }
  ~ScratchDirectory() { std::filesystem::remove_all(path_); }
  ScratchDirectory(const ScratchDirectory&) = delete;
  ScratchDirectory& operator=(const ScratchDirectory&) = delete;

  std::filesystem::path operator/(std::string_view name) const {
    return std::filesystem::path(path_) / name;
  }
  const std::string& path() const { return path_; }
  // Hidden files count.
  std::ptrdiff_t file_count() const {
    return std::distance(std::filesystem::directory_iterator(path_), {});
  }

 private:
  std::string path_;
};

inline void write_text(const std::filesystem::path& path, std::string_view text) {
  std::ofstream(path, std::ios::binary) << text;
}

inline std::string read_text(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline void write_shard(const std::filesystem::path& path, const std::vector<std::uint32_t>& tokens,
                        TokenWidth width = TokenWidth::bits16) {
  TokenShardWriter writer(path, width);
  writer.append(tokens);
  os::PosixStorage storage;
  writer.commit(storage);
}

// What the statement throws: an Error of this kind whose text holds every one of these.
#define EXPECT_ERROR(statement, expected_kind, ...)                         \
  try {                                                                     \
    statement;                                                              \
    ADD_FAILURE() << "nothing was thrown by " #statement;                   \
  } catch (const Error& error) {                                            \
    EXPECT_EQ(error.kind(), expected_kind) << error.what();                 \
    for (const std::string& part : std::vector<std::string>{__VA_ARGS__}) { \
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos)    \
          << "expected \"" << part << "\" in: " << error.what();            \
    }                                                                       \
  }

}  // namespace ptrain::data
