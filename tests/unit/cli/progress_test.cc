#include "libcommon/cli/progress.h"

#include <stdexcept>
#include <string>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "libcommon/cli/terminal.h"
#include "libcommon/os/file_descriptor.h"

namespace ptrain::cli {
namespace {

// A terminal of so many columns, and what was written to it.
class Terminal {
 public:
  explicit Terminal(unsigned short columns) {
    int screen = -1;
    int keyboard = -1;
    winsize size{.ws_row = 24, .ws_col = columns, .ws_xpixel = 0, .ws_ypixel = 0};
    if (::openpty(&screen, &keyboard, nullptr, nullptr, &size) != 0) {
      throw std::runtime_error("openpty");
    }
    screen_ = os::FileDescriptor(screen);
    device_ = os::FileDescriptor(keyboard);
    ::fcntl(screen, F_SETFL, O_NONBLOCK);
  }

  int fd() const { return device_.get(); }
  // Written since the last call.
  std::string take() {
    std::string text;
    char chunk[4096];
    for (ssize_t count = 0; (count = ::read(screen_.get(), chunk, sizeof chunk)) > 0;) {
      text.append(chunk, static_cast<std::size_t>(count));
    }
    return text;
  }

 private:
  os::FileDescriptor screen_;
  os::FileDescriptor device_;
};

class Progress : public testing::Test {
 protected:
  Progress() {
    ::setenv("TERM", "xterm", 1);
    ::setenv("NO_COLOR", "1", 1);
  }
  FakeClock clock_;
};

TEST_F(Progress, IsDrawnAtOnceAndThenOnceAnInterval) {
  Terminal terminal(80);
  ProgressLine line(clock_, terminal.fd());
  line.update("one");
  EXPECT_EQ(terminal.take(), "\r\x1b[Kone");
  clock_.advance(kProgressInterval - Duration(1));
  line.update("two");
  EXPECT_EQ(terminal.take(), "");
  clock_.advance(Duration(1));
  line.update("three");
  EXPECT_EQ(terminal.take(), "\r\x1b[Kthree");
}

TEST_F(Progress, ItsEndShowsTheLatestTextAndKeepsIt) {
  Terminal terminal(80);
  {
    ProgressLine line(clock_, terminal.fd());
    line.update("one");
    line.update("two");
    terminal.take();
    line.finish();
    EXPECT_EQ(terminal.take(), "\r\x1b[Ktwo\r\n");
  }
  EXPECT_EQ(terminal.take(), "");
}

TEST_F(Progress, LeavesNothingBehindWithoutAnEnd) {
  Terminal terminal(80);
  {
    ProgressLine line(clock_, terminal.fd());
    line.update("one");
    terminal.take();
  }
  EXPECT_EQ(terminal.take(), "\r\x1b[K");
}

TEST_F(Progress, IsDrawnAgainAfterItWasCleared) {
  Terminal terminal(80);
  ProgressLine line(clock_, terminal.fd());
  line.update("one");
  line.clear();
  terminal.take();
  line.update("two");
  EXPECT_EQ(terminal.take(), "\r\x1b[Ktwo");
}

TEST_F(Progress, LeavesTheLastColumnFree) {
  Terminal terminal(10);
  ProgressLine line(clock_, terminal.fd());
  line.update("123456789");
  EXPECT_EQ(terminal.take(), "\r\x1b[K123456789");
  clock_.advance(kProgressInterval);
  line.update("1234567890");
  EXPECT_EQ(terminal.take(), "\r\x1b[K123456789");
}

TEST_F(Progress, IsDimWhereColourIsWanted) {
  ::unsetenv("NO_COLOR");
  Terminal terminal(80);
  ProgressLine line(clock_, terminal.fd());
  line.update("one");
  EXPECT_EQ(terminal.take(), "\r\x1b[K\x1b[2mone\x1b[0m");
}

TEST_F(Progress, IsSilentOnADumbTerminal) {
  ::setenv("TERM", "dumb", 1);
  Terminal terminal(80);
  ProgressLine line(clock_, terminal.fd());
  EXPECT_FALSE(line.active());
  line.update("one");
  line.finish();
  EXPECT_EQ(terminal.take(), "");
}

TEST_F(Progress, IsSilentOnAPipe) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
  const os::FileDescriptor reader(ends[0]);
  const os::FileDescriptor writer(ends[1]);
  {
    ProgressLine line(clock_, writer.get());
    line.update("one");
    line.finish();
  }
  char byte = 0;
  EXPECT_EQ(::read(reader.get(), &byte, 1), -1);
}

TEST(FitToColumns, CountsCharactersAndNotBytes) {
  EXPECT_EQ(fit_to_columns("\xc3\xa9t\xc3\xa9", 2), "\xc3\xa9t");
  EXPECT_EQ(fit_to_columns("\xc3\xa9t\xc3\xa9", 3), "\xc3\xa9t\xc3\xa9");
  EXPECT_EQ(fit_to_columns("abc", 0), "");
}

TEST(FitToColumns, LetsNoControlCharacterThrough) {
  EXPECT_EQ(fit_to_columns("a\nb\x1b[2Jc", 80), "a b [2Jc");
}

}  // namespace
}  // namespace ptrain::cli
