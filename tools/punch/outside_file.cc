#include "tools/punch/outside_file.h"

#include <cerrno>
#include <cstdlib>
#include <span>
#include <system_error>

#include <fmt/format.h>
#include <unistd.h>

#include "libcommon/base/error.h"
#include "libcommon/os/atomic_file.h"

namespace ptrain::punch {
namespace {

std::filesystem::path make_temporary_folder() {
  const char* folder = std::getenv("TMPDIR");
  std::string name = folder != nullptr && *folder != '\0' ? folder : "/tmp";
  name += "/ptrain-punch-XXXXXX";
  if (::mkdtemp(name.data()) == nullptr) {
    throw io_error("make the folder " + name, errno,
                   std::string(kOutsideFileVariable) + " names a file instead");
  }
  return name;
}

}  // namespace

std::string outside_text(const std::vector<OutsideLine>& lines) {
  std::string text;
  for (const OutsideLine& line : lines) {
    text += fmt::format("{} {}\n", to_string(line.port),
                        endpoint_text(line.port.transport, line.outside));
  }
  return text;
}

OutsideFile::OutsideFile(os::Storage& storage) : storage_(storage) {
  if (const char* named = std::getenv(kOutsideFileVariable); named != nullptr && *named != '\0') {
    path_ = named;
  } else {
    temporary_folder_ = make_temporary_folder();
    path_ = temporary_folder_ / "outside";
    ::setenv(kOutsideFileVariable, path_.c_str(), 1);
  }
}

OutsideFile::~OutsideFile() {
  if (temporary_folder_.empty()) return;
  std::error_code ignored;
  std::filesystem::remove_all(temporary_folder_, ignored);
}

void OutsideFile::write(const std::vector<OutsideLine>& lines) {
  const std::string text = outside_text(lines);
  os::write_file_durably(storage_, path_, fmt::format("punch-{}", ::getpid()),
                         std::as_bytes(std::span(text)));
}

}  // namespace ptrain::punch
