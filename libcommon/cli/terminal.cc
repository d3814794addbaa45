#include "libcommon/cli/terminal.h"

#include <cstdlib>

#include <sys/ioctl.h>
#include <unistd.h>

namespace ptrain::cli {
namespace {

// The value of a variable; empty where it is not set, which is what no-color.org asks for.
std::string_view environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string_view() : value;
}

bool continues_character(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }
bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

}  // namespace

bool is_terminal(int fd) { return ::isatty(fd) == 1 && environment("TERM") != "dumb"; }

std::size_t terminal_columns(int fd) {
  winsize size{};
  if (::ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return kDefaultColumns;
  return size.ws_col;
}

bool colour_wanted(int fd) { return is_terminal(fd) && environment("NO_COLOR").empty(); }

std::string fit_to_columns(std::string_view text, std::size_t columns) {
  std::string fitted;
  std::size_t used = 0;
  for (const char c : text) {
    if (!continues_character(c) && ++used > columns) break;
    fitted.push_back(is_control(c) ? ' ' : c);
  }
  return fitted;
}

}  // namespace ptrain::cli
