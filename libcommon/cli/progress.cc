#include "libcommon/cli/progress.h"

#include "libcommon/base/quiet.h"
#include "libcommon/cli/terminal.h"

namespace ptrain::cli {
namespace {

// Control sequences of ECMA-48.
constexpr std::string_view kEraseLine = "\r\x1b[K";
constexpr std::string_view kDim = "\x1b[2m";
constexpr std::string_view kPlain = "\x1b[0m";

void write_ignoring_errors(int fd, std::string_view text) {
  const auto ignored = ::write(fd, text.data(), text.size());
  static_cast<void>(ignored);
}

}  // namespace

ProgressLine::ProgressLine(const Clock& clock, int fd)
    : clock_(clock), fd_(fd), active_(is_terminal(fd) && !is_quiet()), colour_(colour_wanted(fd)) {}

ProgressLine::~ProgressLine() { clear(); }

void ProgressLine::update(std::string_view text) {
  if (!active_) return;
  text_ = text;
  const TimePoint now = clock_.now();
  if (drawn_at_ && now - *drawn_at_ < kProgressInterval) return;
  drawn_at_ = now;
  draw();
}

void ProgressLine::clear() {
  if (drawn_) write_ignoring_errors(fd_, kEraseLine);
  drawn_ = false;
  drawn_at_.reset();
}

void ProgressLine::print(std::string_view line) {
  clear();
  if (!is_quiet()) write_ignoring_errors(fd_, std::string(line) + "\n");
}

void ProgressLine::finish() {
  if (!active_ || text_.empty()) return;
  draw();
  write_ignoring_errors(fd_, "\n");
  drawn_ = false;
  text_.clear();
}

void ProgressLine::draw() {
  std::string line(kEraseLine);
  if (colour_) line += kDim;
  // The last column stays free: some terminals move on to the next line when it is written.
  line += fit_to_columns(text_, terminal_columns(fd_) - 1);
  if (colour_) line += kPlain;
  write_ignoring_errors(fd_, line);
  drawn_ = true;
}

}  // namespace ptrain::cli
