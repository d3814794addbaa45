#include "libcommon/os/read_file.h"

#include <fmt/format.h>

#include "libcommon/base/error.h"

namespace ptrain::os {

std::unique_ptr<ReadableFile> open_regular(Storage& storage, const std::filesystem::path& path) {
  const auto status = storage.status(path);
  if (status && status->kind != FileKind::regular) {
    throw Error(ErrorKind::corrupt, path.string() + ": not a regular file");
  }
  return storage.open(path);  // says so when it is not there
}

std::string read_file(Storage& storage, const std::filesystem::path& path, std::size_t max_bytes) {
  const auto file = open_regular(storage, path);
  if (file->size().value() > max_bytes) {
    throw Error(ErrorKind::corrupt, fmt::format("{}: {} bytes, at most {} are allowed",
                                                path.string(), file->size().value(), max_bytes));
  }
  std::string text(file->size().value(), '\0');
  file->read_at(0, std::as_writable_bytes(std::span(text)));
  return text;
}

}  // namespace ptrain::os
