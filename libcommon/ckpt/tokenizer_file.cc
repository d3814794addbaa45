#include "libcommon/ckpt/tokenizer_file.h"

#include <algorithm>
#include <span>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/os/read_file.h"

namespace ptrain::ckpt {

std::string load_tokenizer(os::Storage& storage, const std::filesystem::path& path) {
  const auto file = storage.open(path);
  const std::uint64_t size = file->size().value();
  if (size == 0 || size > kMaxTokenizerBytes) {
    throw Error(ErrorKind::usage, fmt::format("tokenizer {}: {} bytes, 1 to {} are allowed",
                                              path.string(), size, kMaxTokenizerBytes));
  }
  std::string bytes(size, '\0');
  file->read_at(0, std::as_writable_bytes(std::span(bytes)));
  return bytes;
}

FileRecord tokenizer_record(StageIndex stage, const std::string& bytes) {
  FileRecord record;
  record.file = {tokenizer_file_name(stage), ByteCount(bytes.size()), sha256(bytes)};
  for (std::size_t at = 0; at < bytes.size(); at += kChunkBytes) {
    record.chunk_sha256.push_back(sha256(std::string_view(bytes).substr(at, kChunkBytes)));
  }
  return record;
}

std::string read_tokenizer(os::Storage& storage, const std::filesystem::path& step_directory,
                           const FileRecord& record) {
  const std::filesystem::path path = step_directory / record.file.name;
  std::string bytes = os::read_file(storage, path, kMaxTokenizerBytes);
  if (sha256(bytes) != record.file.sha256) {
    throw Error(ErrorKind::corrupt,
                path.string() + ": does not have the SHA-256 that its record gives");
  }
  return bytes;
}

}  // namespace ptrain::ckpt
