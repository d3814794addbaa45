#include "tools/relay/line_writer.h"

#include <algorithm>
#include <cstdint>
#include <string>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "libcommon/os/file_descriptor.h"

namespace ptrain::relay {
namespace {

using testing::EndsWith;
using testing::StartsWith;

struct Pipe {
  Pipe() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) std::abort();
    reader = os::FileDescriptor(ends[0]);
    writer = os::FileDescriptor(ends[1]);
  }
  // Until its writers are gone, or `enough`.
  std::string read(std::size_t enough = SIZE_MAX) const {
    std::string text;
    char part[4096];
    while (text.size() < enough) {
      const ssize_t count = ::read(reader.get(), part, std::min(sizeof part, enough - text.size()));
      if (count <= 0) break;
      text.append(part, static_cast<std::size_t>(count));
    }
    return text;
  }
  // Without its end.
  std::string read_line() const {
    std::string text;
    while (!text.ends_with('\n')) {
      const std::string one = read(1);
      if (one.empty()) return text;
      text += one;
    }
    text.pop_back();
    return text;
  }
  // To the brim; how many bytes that are.
  std::size_t fill() const {
    const std::string part(4096, '-');
    const int flags = ::fcntl(writer.get(), F_GETFL);
    ::fcntl(writer.get(), F_SETFL, flags | O_NONBLOCK);
    std::size_t filled = 0;
    for (ssize_t count = 0; count >= 0; count = ::write(writer.get(), part.data(), part.size())) {
      filled += static_cast<std::size_t>(count);
    }
    ::fcntl(writer.get(), F_SETFL, flags);
    return filled;
  }
  os::FileDescriptor reader;
  os::FileDescriptor writer;
};

std::string lost(std::uint64_t lines) { return "lost " + std::to_string(lines); }

TEST(LineWriter, WritesWhatIsPutInInOrder) {
  Pipe pipe;
  {
    LineWriter writer(pipe.writer.get(), lost);
    for (int i = 0; i < 1000; ++i) writer.put(std::to_string(i));
  }
  pipe.writer.reset();
  const std::string text = pipe.read();
  EXPECT_THAT(text, StartsWith("0\n1\n2\n"));
  EXPECT_THAT(text, EndsWith("998\n999\n"));
}

// When the thread takes lines up is its own affair: the pipe is full beforehand, so that it takes
// one at most, early or late, and what it says was lost is held against what is missing there.
TEST(LineWriter, HoldsUpNobodyWhenNobodyReadsAndSaysHowManyWereLost) {
  constexpr int kLines = 1000;
  Pipe pipe;
  const std::size_t filled = pipe.fill();
  LineWriter writer(pipe.writer.get(), lost, 10000);
  const auto line = [](int number) {
    const std::string digits = std::to_string(number);
    return digits + std::string(999 - digits.size(), 'x');
  };
  for (int i = 0; i < kLines; ++i) writer.put(line(i));
  const std::uint64_t dropped = writer.dropped();
  // The queue has ten, and the thread perhaps one.
  EXPECT_GE(dropped, kLines - 11u);
  EXPECT_LE(dropped, kLines - 10u);

  EXPECT_EQ(pipe.read(filled).size(), filled);
  std::uint64_t told = 0;
  int next = 0;
  const auto read_one = [&] {
    std::string text = pipe.read_line();
    if (text.starts_with("lost ")) {
      const std::uint64_t lines = std::stoull(text.substr(5));
      told += lines;
      next += static_cast<int>(lines);
      text = pipe.read_line();
    }
    EXPECT_EQ(text, line(next));
    ++next;
  };
  for (std::uint64_t kept = 0; kept < kLines - dropped; ++kept) read_one();
  writer.put(line(kLines));
  read_one();
  EXPECT_EQ(next, kLines + 1);
  EXPECT_EQ(told, dropped);
  EXPECT_EQ(writer.dropped(), dropped);
}

TEST(LineWriter, EndsThoughNobodyReads) {
  Pipe pipe;
  const std::size_t filled = pipe.fill();
  {
    LineWriter writer(pipe.writer.get(), lost);
    for (int i = 0; i < 1000; ++i) writer.put(std::string(999, 'x'));
  }
  int unread = 0;
  ASSERT_EQ(::ioctl(pipe.reader.get(), FIONREAD, &unread), 0);
  EXPECT_EQ(static_cast<std::size_t>(unread), filled);
}

TEST(LineWriter, OutlivesItsReaderAndCountsWhatItCannotKeep) {
  Pipe pipe;
  pipe.reader.reset();
  LineWriter writer(pipe.writer.get(), lost, 1000);
  for (int i = 0; i < 1000; ++i) writer.put("x");
  // 500 lines fit, and the thread took none or the one that it found no reader for.
  EXPECT_GE(writer.dropped(), 499u);
  EXPECT_LE(writer.dropped(), 500u);
}

}  // namespace
}  // namespace ptrain::relay
