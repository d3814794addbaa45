#include "libcommon/cli/program.h"

#include <cerrno>
#include <cstdio>
#include <new>
#include <sstream>
#include <system_error>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "libcommon/base/printable.h"
#include "libcommon/base/quiet.h"
#include "libcommon/cli/command_line.h"
#include "libcommon/cli/early_end.h"
#include "libcommon/cli/exit_code.h"
#include "libcommon/cli/output.h"
#include "libcommon/cli/usage_error.h"
#include "libcommon/os/descriptor_limit.h"
#include "libcommon/os/memory_error.h"
#include "libcommon/os/process_start.h"

namespace ptrain::cli {
namespace {

// Both may have a peer's text in them.
void print_words(const std::string& program, const char* kind, const std::string& what,
                 const std::string& hint) {
  std::string text = fmt::format("{}: {}{}\n", program, kind, printable(what));
  if (!hint.empty()) text += fmt::format("{}: hint: {}\n", program, printable(hint));
  std::fflush(stdout);
  std::fwrite(text.data(), 1, text.size(), stderr);
}

void print_error(const std::string& program, const std::string& what, const std::string& hint) {
  print_words(program, "error: ", what, hint);
}

}  // namespace

int exit_code(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::usage:
      return kUsage;
    case ErrorKind::corrupt:
      return kCorrupt;
    case ErrorKind::unavailable:
      return kUnavailable;
    case ErrorKind::io:
      return kIo;
    case ErrorKind::try_again:
      return kTryAgain;
    case ErrorKind::permission:
      return kPermission;
    case ErrorKind::internal:
      return kInternal;
  }
  return kInternal;
}

namespace {

// --help, --version, --completion: what is asked for is a result.
int answer(const CLI::App& app, const CLI::Success& request) {
  std::ostringstream text;
  app.exit(request, text, text);
  write_output(text.str());
  return kDone;
}

int refuse(const std::string& program, const UsageError& error) {
  print_error(program, error.what, error.hint);
  return kUsage;
}

int parse_and_run(CLI::App& app, int argc, const char* const* argv,
                  const std::function<int()>& body, std::function<std::string()> parts) {
  bool quiet = false;
  add_common_words(app, quiet, std::move(parts));
  try {
    std::vector<std::string> arguments = arguments_in_reverse(argc, argv);
    app.parse(arguments);
  } catch (const Answer& given) {
    write_output(given.text);
    return kDone;
  } catch (const CLI::CallForHelp& request) {
    const auto unknown = unknown_command(app);
    return unknown ? refuse(app.get_name(), *unknown) : answer(app, request);
  } catch (const CLI::Success& request) {
    return answer(app, request);
  }
  if (quiet) be_quiet();
  return body();
}

}  // namespace

int run_program(CLI::App& app, int argc, const char* const* argv, const std::function<int()>& body,
                std::function<std::string()> parts) {
  os::start_process();
  os::raise_descriptor_limit();  // before there are threads
  const std::string name = app.get_name();
  int code = kDone;
  try {
    code = parse_and_run(app, argc, argv, body, std::move(parts));
    flush_output();  // a full disk must not pass for success
    return code;
  } catch (const OutputClosed&) {
    return code == kDone ? kOutputClosed : code;
  } catch (const EarlyEnd& end) {
    if (!end.text.empty()) print_words(name, "", end.text, end.hint);
    return end.exit_code;
  } catch (const CLI::ParseError& error) {
    return refuse(name, usage_error(app, error));
  } catch (const Error& error) {
    print_error(name, error.what(), error.hint());
    return exit_code(error.kind());
  } catch (const std::bad_alloc& failure) {
    const Error error = os::memory_error(failure);
    print_error(name, error.what(), error.hint());
    return exit_code(error.kind());
  } catch (const std::exception& error) {
    const auto* refused = dynamic_cast<const std::system_error*>(&error);
    if (refused != nullptr && refused->code() == std::errc::resource_unavailable_try_again) {
      print_error(name, fmt::format("the system gives no more threads: {}", refused->what()),
                  os::kMemoryHint);
      return kTryAgain;
    }
    print_error(name, error.what(), "this is a defect of ptrain: please report it");
    return kInternal;
  }
}

}  // namespace ptrain::cli
