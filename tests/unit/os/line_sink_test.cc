#include "libcommon/os/line_sink.h"

#include <array>
#include <csignal>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/unit/os/temporary_directory.h"

namespace ptrain::os {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class KeepingLog final : public Log {
 public:
  void info(std::string_view line) override { infos.emplace_back(line); }
  void warning(std::string_view line) override { warnings.emplace_back(line); }
  std::vector<std::string> infos, warnings;
};

// A disk that takes files of `bytes` at most, until the object goes.
class SmallDisk {
 public:
  explicit SmallDisk(rlim_t bytes) {
    before_handler_ = ::signal(SIGXFSZ, SIG_IGN);
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit small{.rlim_cur = bytes, .rlim_max = before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &small);
  }
  ~SmallDisk() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    ::signal(SIGXFSZ, before_handler_);
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;

 private:
  rlimit before_{};
  void (*before_handler_)(int) = SIG_DFL;
};

class ALineSink : public ::testing::Test {
 protected:
  FileDescriptor open() const {
    return FileDescriptor(::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  }
  std::string content() const {
    std::ifstream file(path_);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  TemporaryDirectory directory_;
  std::filesystem::path path_ = directory_.path() / "lines";
  KeepingLog log_;
};

TEST_F(ALineSink, WritesEachLineAtOnce) {
  LineSink sink(open(), "lines", log_);
  sink.append("one");
  EXPECT_EQ(content(), "one\n");
  sink.append("two");
  EXPECT_EQ(content(), "one\ntwo\n");
  EXPECT_EQ(sink.missing(), 0u);
  EXPECT_THAT(log_.warnings, IsEmpty());
}

TEST_F(ALineSink, KeepsWhatAFullDiskRefusesAndWritesItLater) {
  LineSink sink(open(), "lines", log_);
  {
    const SmallDisk disk(6);  // in the middle of the second line
    sink.append("one");
    sink.append("two");
    sink.append("three");
    EXPECT_EQ(sink.missing(), 2u);
    EXPECT_EQ(content(), "one\ntw");
  }
  EXPECT_THAT(log_.warnings, ElementsAre(HasSubstr("lines: File too large; the work goes on")));
  sink.append("four");
  EXPECT_EQ(content(), "one\ntwo\nthree\nfour\n");
  EXPECT_EQ(sink.missing(), 0u);
  EXPECT_THAT(log_.infos, ElementsAre("lines is written again: 2 lines came late"));
}

TEST_F(ALineSink, TriesOnceMoreAtItsEnd) {
  {
    LineSink sink(open(), "lines", log_);
    const SmallDisk disk(0);
    sink.append("one");
  }
  EXPECT_EQ(content(), "one\n");
}

TEST_F(ALineSink, SaysAtItsEndWhatIsLost) {
  {
    LineSink sink(FileDescriptor(::open("/dev/full", O_WRONLY | O_CLOEXEC)), "lines", log_);
    sink.append("one");
    sink.append("two");
  }
  ASSERT_THAT(log_.warnings, SizeIs(2));
  EXPECT_EQ(log_.warnings[1], "lines: 2 lines are lost");
}

TEST_F(ALineSink, KeepsNoMoreThanItsBoundAndDropsWhatComesThen) {
  LineSink sink(open(), "lines", log_);
  const std::string line(kMostKeptBytes / 4, 'x');  // three fit with their newlines
  {
    const SmallDisk disk(0);
    for (int i = 0; i < 5; ++i) sink.append(line);
    EXPECT_EQ(sink.missing(), 5u);
  }
  sink.append("then");  // makes room, but came while there was none
  EXPECT_EQ(content().size(), 3 * (line.size() + 1) + 5);
  EXPECT_THAT(log_.infos, ElementsAre(HasSubstr("2 lines are lost")));
}

TEST_F(ALineSink, WithoutAReaderKeepsNothingAndSaysSoOnce) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
  auto* before = ::signal(SIGPIPE, SIG_IGN);
  ::close(ends[0]);
  LineSink sink(FileDescriptor(ends[1]), "lines", log_);
  for (int i = 0; i < 3; ++i) sink.append("word");
  ::signal(SIGPIPE, before);
  EXPECT_EQ(sink.missing(), 0u);
  EXPECT_THAT(log_.warnings, ElementsAre(HasSubstr("Broken pipe; nothing more is written there")));
}

}  // namespace
}  // namespace ptrain::os
