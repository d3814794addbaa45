#include "tools/stage/endpoints.h"

#include <fstream>
#include <functional>
#include <string>

#include <gmock/gmock.h>
#include <unistd.h>

#include "libcommon/base/error.h"

namespace ptrain::stage {
namespace {

using testing::HasSubstr;

std::string write_file(const std::string& text) {
  const std::string path = testing::TempDir() + "endpoints-" + std::to_string(::getpid());
  std::ofstream(path) << text;
  return path;
}

std::string refusal(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
    return error.what();
  }
  return "nothing was refused";
}

TEST(EndpointsFile, OneALineInStageOrderWithComments) {
  const auto path = write_file("# two stages\nipc:///tmp/a\n\ntcp://127.0.0.1:7001\n");
  const auto workers = read_workers(path);
  ASSERT_EQ(workers.size(), 2U);
  EXPECT_EQ(net::to_string(*workers[0].endpoint), "ipc:///tmp/a");
  EXPECT_TRUE(workers[0].cells.empty());
  EXPECT_EQ(net::to_string(*workers[1].endpoint), "tcp://127.0.0.1:7001");
}

TEST(EndpointsFile, IsReadAsOtherSystemsWriteIt) {
  const auto path =
      write_file("\xef\xbb\xbf# two\r\nipc:///tmp/a \t\r\n\r\n  ipc:///tmp/b # laptop");
  const auto workers = read_workers(path);
  ASSERT_EQ(workers.size(), 2U);
  EXPECT_EQ(net::to_string(*workers[0].endpoint), "ipc:///tmp/a");
  EXPECT_EQ(net::to_string(*workers[1].endpoint), "ipc:///tmp/b");
}

TEST(EndpointsFile, ABadLineIsNamedByItsNumber) {
  const auto path = write_file("ipc:///tmp/a\nhttp://x\n");
  EXPECT_THAT(refusal([&] { read_workers(path); }), HasSubstr(path + ":2: "));
  EXPECT_THAT(refusal([&] { read_workers(write_file("# none\n")); }),
              HasSubstr("no endpoint in it"));
}

TEST(EndpointsFile, MaySayWhichCellsEachProcessHolds) {
  const auto workers = read_workers(write_file("0,0 0,2\tipc:///tmp/a b\n0,1 ipc:///tmp/c\n"));
  ASSERT_EQ(workers.size(), 2U);
  ASSERT_EQ(workers[0].cells.size(), 2U);
  EXPECT_EQ(workers[0].cells[1], (job::CellIndex{StageIndex(0), LaneIndex(2)}));
  EXPECT_EQ(net::to_string(*workers[0].endpoint), "ipc:///tmp/a b");
  const auto met = read_workers(write_file("0,0\n0,1\n"));
  EXPECT_FALSE(met[1].endpoint);
}

TEST(EndpointsFile, OfTwoKindsOfLinesIsRefused) {
  for (const char* text : {"0,0 ipc:///tmp/a\nipc:///tmp/b\n", "0,0 ipc:///tmp/a\n0,1\n"}) {
    EXPECT_THAT(refusal([&] { read_workers(write_file(text)); }),
                HasSubstr(":2: another kind of line than the first"));
  }
  EXPECT_THAT(refusal([&] { read_workers(write_file("0.1 ipc:///tmp/a\n")); }),
              HasSubstr(":1: 0.1: not a cell"));
}

TEST(EndpointFlags, FillAllStagesButOurOwn) {
  const auto listen = net::parse_endpoint("tcp://127.0.0.1:7001");
  const auto endpoints =
      endpoints_from_flags({"2=tcp://127.0.0.1:7002", "0=tcp://127.0.0.1:7000"}, 1, listen);
  ASSERT_EQ(endpoints.size(), 3U);
  EXPECT_EQ(endpoints[0].port, 7000);
  EXPECT_EQ(endpoints[1], listen);
  EXPECT_EQ(endpoints[2].port, 7002);
}

TEST(EndpointFlags, AStageTwiceOutOfRangeOrWithoutNumberIsRefused) {
  const auto listen = net::parse_endpoint("ipc:///tmp/a");
  const auto with = [&](const std::vector<std::string>& peers, std::uint32_t self) {
    return refusal([&] { endpoints_from_flags(peers, self, listen); });
  };
  EXPECT_THAT(with({"1=ipc:///tmp/b", "1=ipc:///tmp/c"}, 0), HasSubstr("stage 1 is given twice"));
  EXPECT_THAT(with({"0=ipc:///tmp/b"}, 0), HasSubstr("stage 0 is given twice"));
  EXPECT_THAT(with({"7=ipc:///tmp/b"}, 0), HasSubstr("--peer 7=ipc:///tmp/b"));
  EXPECT_THAT(with({"1=ipc:///tmp/b"}, 2), HasSubstr("--stage 2"));
  for (const char* text : {"ipc:///tmp/b", "=ipc:///tmp/b", "-1=ipc:///tmp/b", "1x=ipc:///tmp/b",
                           "99999999999=ipc:///tmp/b"}) {
    EXPECT_THAT(with({text}, 0), HasSubstr("not a stage number")) << text;
  }
}

}  // namespace
}  // namespace ptrain::stage
