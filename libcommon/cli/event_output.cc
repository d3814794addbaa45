#include "libcommon/cli/event_output.h"

#include <cerrno>

#include <fcntl.h>
#include <unistd.h>

#include "libcommon/base/error.h"
#include "libcommon/cli/json_line.h"

namespace ptrain::cli {

EventOutput::EventOutput(Log& log)
    : sink_(os::FileDescriptor(::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1)),
            "standard output", log) {}

void EventOutput::ready(std::string_view line) {
  sink_.append(line);
  const int error = sink_.error();
  if (error != 0 && error != EPIPE && error != EBADF) {
    throw io_error("write to standard output", error);
  }
}

void EventOutput::event(const nlohmann::ordered_json& event) { sink_.append(json_line(event)); }

}  // namespace ptrain::cli
