#include "libcommon/os/line_sink.h"

#include <algorithm>
#include <cerrno>
#include <system_error>

#include <fmt/format.h>
#include <unistd.h>

namespace ptrain::os {
namespace {

std::string text_of(int error_number) { return std::generic_category().message(error_number); }

bool for_good(int error_number) { return error_number == EPIPE || error_number == EBADF; }

}  // namespace

LineSink::LineSink(FileDescriptor file, std::string name, Log& log)
    : file_(std::move(file)), name_(std::move(name)), log_(log) {}

LineSink::~LineSink() {
  if (missing() == 0) return;
  if (!kept_.empty()) write_kept();
  if (missing() > 0 && !closed_) {
    log_.warning(fmt::format("{}: {} lines are lost", name_, missing()));
  }
}

void LineSink::append(std::string_view line) {
  if (closed_) return;
  if (kept_.size() + line.size() >= kMostKeptBytes) {
    ++dropped_lines_;
  } else {
    kept_.append(line).push_back('\n');
    ++kept_lines_;
  }
  write_kept();
  late_lines_ = std::max(late_lines_, kept_lines_);
}

void LineSink::write_kept() {
  const int error_before = error_;
  error_ = 0;
  std::size_t done = 0;
  while (done < kept_.size()) {
    const ssize_t written = ::write(file_.get(), kept_.data() + done, kept_.size() - done);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      error_ = written < 0 ? errno : EIO;
      break;
    }
    done += static_cast<std::size_t>(written);
  }
  const auto whole = static_cast<std::uint64_t>(
      std::count(kept_.begin(), kept_.begin() + static_cast<std::ptrdiff_t>(done), '\n'));
  kept_.erase(0, done);
  kept_lines_ -= whole;
  if (error_ != 0 && error_before == 0) say_trouble();
  if (error_ == 0 && error_before != 0) say_relief();
}

void LineSink::say_trouble() {
  closed_ = for_good(error_);
  if (closed_) {
    log_.warning(fmt::format("{}: {}; nothing more is written there", name_, text_of(error_)));
    kept_.clear();
    kept_lines_ = 0;
    return;
  }
  log_.warning(
      fmt::format("{}: {}; the work goes on, and the lines are kept until they can be "
                  "written",
                  name_, text_of(error_)));
}

void LineSink::say_relief() {
  const std::string lost =
      dropped_lines_ == 0 ? "" : fmt::format(", {} lines are lost", dropped_lines_);
  log_.info(fmt::format("{} is written again: {} lines came late{}", name_, late_lines_, lost));
  dropped_lines_ = late_lines_ = 0;
}

}  // namespace ptrain::os
