#include "libcommon/cli/command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libcommon/cli/program.h"
#include "libcommon/cli/usage_error.h"
#include "libcommon/cli/value_names.h"

namespace ptrain::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// A program of two commands, one of which has commands of its own.
struct Example {
  CLI::App app{"An example.", "x"};
  std::string file;
  std::string dtype;
  bool all = false;

  Example() {
    app.require_subcommand(1);
    CLI::App* check = app.add_subcommand("check", "Check a file");
    check->add_option("FILE", file, "The file")->required();
    check->add_option("--dtype", dtype, "Type")->check(CLI::IsMember({"float32", "bfloat16"}));
    CLI::App* ticket = app.add_subcommand("ticket", "Tickets");
    ticket->require_subcommand(1);
    ticket->add_subcommand("renew", "Renew")->add_flag("--all", all, "All of them");
  }

  std::optional<UsageError> refuses(std::vector<std::string> words) {
    std::vector<std::string> reversed(words.rbegin(), words.rend());
    try {
      app.parse(reversed);
    } catch (const CLI::CallForHelp&) {
      return unknown_command(app);
    } catch (const CLI::ParseError& error) {
      return usage_error(app, error);
    }
    return std::nullopt;
  }
};

void expect_refusal(const std::vector<std::string>& words, const std::string& what,
                    const std::string& hint) {
  const auto refusal = Example().refuses(words);
  ASSERT_TRUE(refusal);
  EXPECT_EQ(refusal->what, what);
  EXPECT_EQ(refusal->hint, hint);
}

TEST(UsageError, NamesTheCommandThatWasMeant) {
  expect_refusal({"chekc", "a"}, "unknown command chekc", "did you mean check? see x --help");
  expect_refusal({"chekc", "--help"}, "unknown command chekc", "did you mean check? see x --help");
  expect_refusal({"nothing"}, "unknown command nothing", "see x --help");
  expect_refusal({"ticket", "rennew"}, "unknown command rennew",
                 "did you mean renew? see x ticket --help");
}

TEST(UsageError, NamesTheOptionThatWasMeantThoughAnotherIsMissing) {
  expect_refusal({"check", "--dytpe", "float32"}, "unknown option --dytpe",
                 "did you mean --dtype? see x check --help");
  expect_refusal({"check", "--dytpe=float32"}, "unknown option --dytpe",
                 "did you mean --dtype? see x check --help");
  expect_refusal({"check", "a", "--dty", "float32"}, "unknown option --dty",
                 "did you mean --dtype? see x check --help");
  expect_refusal({"check", "a", "--nothing"}, "unknown option --nothing", "see x check --help");
}

TEST(UsageError, SaysWhichCommandHasTheOption) {
  expect_refusal({"--dtype", "float32", "check"}, "unknown option --dtype",
                 "did you mean x check --dtype? see x --help");
}

TEST(UsageError, PointsAtTheCommandsOwnHelp) {
  expect_refusal({"check"}, "FILE is required", "see x check --help");
  expect_refusal({"check", "a", "b"}, "unexpected argument b", "see x check --help");
  expect_refusal({}, "no command was given", "see x --help");
  expect_refusal({"ticket"}, "no command was given", "see x ticket --help");
}

std::vector<std::string> arguments(std::vector<const char*> words) {
  words.insert(words.begin(), "x");
  auto reversed = arguments_in_reverse(static_cast<int>(words.size()), words.data());
  return {reversed.rbegin(), reversed.rend()};
}

TEST(HelpCommand, IsTheOptionHelp) {
  EXPECT_THAT(arguments({"help"}), ElementsAre("--help"));
  EXPECT_THAT(arguments({"help", "ticket", "renew"}), ElementsAre("ticket", "renew", "--help"));
  EXPECT_THAT(arguments({"--quiet", "help", "check"}), ElementsAre("--quiet", "check", "--help"));
}

TEST(HelpCommand, IsAnArgumentBehindAnother) {
  EXPECT_THAT(arguments({"check", "help"}), ElementsAre("check", "help"));
  EXPECT_THAT(arguments({"help", "--help"}), ElementsAre("help", "--help"));
  EXPECT_THAT(arguments({}), ElementsAre());
}

TEST(ValueNames, AreThoseOfOptionsThatHaveNone) {
  Example example;
  name_values(example.app, {{"FILE", "FILE"}, {"--dtype", "KIND"}, {"--all", "ALL"}});
  EXPECT_EQ(example.app.get_subcommand("check")->get_option("FILE")->get_type_name(), "FILE");
  EXPECT_THAT(example.app.get_subcommand("check")->get_option("--dtype")->get_type_name(),
              HasSubstr("float32"));
}

TEST(Program, AnswersWhatEveryProgramIsAsked) {
  const auto printed = [](std::vector<const char*> words) {
    Example example;
    words.insert(words.begin(), "x");
    testing::internal::CaptureStdout();
    const int code = run_program(
        example.app, static_cast<int>(words.size()), words.data(), [] { return 9; },
        [] { return std::string("made of parts"); });
    std::fflush(stdout);
    EXPECT_EQ(code, 0);
    return testing::internal::GetCapturedStdout();
  };
  EXPECT_EQ(printed({"--version"}), "x " PTRAIN_VERSION "\nmade of parts\n");
  EXPECT_EQ(printed({"help", "check"}), printed({"check", "--help"}));
  EXPECT_EQ(printed({"help"}), printed({"--help"}));
  EXPECT_THAT(printed({"help"}), HasSubstr("Show the help of a command"));
  EXPECT_THAT(printed({"--completion", "bash"}), HasSubstr("complete -F _x x"));
}

}  // namespace
}  // namespace ptrain::cli
