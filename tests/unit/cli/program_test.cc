#include "libcommon/cli/program.h"

#include <new>
#include <string>
#include <system_error>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libcommon/cli/exit_code.h"

namespace ptrain::cli {
namespace {

using testing::AllOf;
using testing::HasSubstr;

struct Ending {
  int code;
  std::string said;
};

Ending ending_of(const std::function<int()>& body) {
  CLI::App app("x", "some-program");
  const char* const argv[] = {"some-program"};
  testing::internal::CaptureStderr();
  const int code = run_program(app, 1, argv, body);
  return {code, testing::internal::GetCapturedStderr()};
}

#ifndef PTRAIN_SANITISED  // sanitizers end the process themselves

TEST(Program, EndsWith75WhereMemoryCannotBeHad) {
  const Ending ending = ending_of([] {
    std::vector<char> memory;
    memory.reserve(std::size_t{1} << 50);
    return 0;
  });
  EXPECT_EQ(ending.code, kTryAgain);
  EXPECT_THAT(ending.said, AllOf(HasSubstr("some-program: error: out of memory"),
                                 HasSubstr("available"), HasSubstr("some-program: hint: ")));
}

#endif

TEST(Program, EndsWith75WhereNoThreadCanBeHad) {
  const Ending ending = ending_of([]() -> int {
    throw std::system_error(std::make_error_code(std::errc::resource_unavailable_try_again));
  });
  EXPECT_EQ(ending.code, kTryAgain);
  EXPECT_THAT(ending.said, HasSubstr("no more threads"));
}

TEST(Program, EndsWith70OnADefect) {
  const Ending ending = ending_of([]() -> int { throw std::logic_error("broken"); });
  EXPECT_EQ(ending.code, kInternal);
  EXPECT_THAT(ending.said, HasSubstr("please report it"));
}

}  // namespace
}  // namespace ptrain::cli
