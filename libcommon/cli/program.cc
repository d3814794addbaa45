#include "libcommon/cli/program.h"

#include <cstdio>
#include <new>

#include <fmt/format.h>

#include "libcommon/cli/exit_code.h"

namespace ptrain::cli {
namespace {

void print_error(const std::string& program, const std::string& what, const std::string& hint) {
  std::string text = fmt::format("{}: error: {}\n", program, what);
  if (!hint.empty()) text += fmt::format("{}: hint: {}\n", program, hint);
  std::fflush(stdout);
  std::fwrite(text.data(), 1, text.size(), stderr);
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

int run_program(CLI::App& app, int argc, const char* const* argv,
                const std::function<int()>& body) {
  const std::string name = app.get_name();
  app.set_version_flag("--version", name + " " PTRAIN_VERSION);
  try {
    app.parse(argc, argv);
    const int code = body();
    // A full disk or a closed pipe must not pass for success.
    if (std::fflush(stdout) != 0) throw io_error("write to standard output", errno);
    return code;
  } catch (const CLI::Success& request) {  // --help, --version
    return app.exit(request);
  } catch (const CLI::ParseError& error) {
    print_error(name, error.what(), fmt::format("{} --help lists the options", name));
    return kUsage;
  } catch (const Error& error) {
    print_error(name, error.what(), error.hint());
    return exit_code(error.kind());
  } catch (const std::bad_alloc&) {
    print_error(name, "out of memory", "use a smaller microbatch, or train.recompute = \"layer\"");
    return kTryAgain;
  } catch (const std::exception& error) {
    print_error(name, error.what(), "this is a defect of ptrain: please report it");
    return kInternal;
  }
}

}  // namespace ptrain::cli
