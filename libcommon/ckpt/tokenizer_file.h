// The SentencePiece model that a run's text was encoded with, as a file of its checkpoints: it lies
// beside the embedding's tensors, so whoever has those can turn text into tokens and back. The
// tokenizer "bytes" needs no file.

#pragma once

#include <cstddef>
#include <filesystem>
#include <string>

#include "libcommon/ckpt/record.h"
#include "libcommon/os/storage.h"

namespace ptrain::ckpt {

inline constexpr std::size_t kMaxTokenizerBytes = 64 << 20;  // far beyond a million pieces

// The bytes of a model that a person named, which may lie behind a link. Throws Error(usage) for
// one that is larger than kMaxTokenizerBytes or empty, Error(io).
std::string load_tokenizer(os::Storage& storage, const std::filesystem::path& path);

// What the stage's record says of these bytes.
FileRecord tokenizer_record(StageIndex stage, const std::string& bytes);

// The bytes of a checkpoint's tokenizer. Throws Error(corrupt) when they are not those that the
// record describes.
std::string read_tokenizer(os::Storage& storage, const std::filesystem::path& step_directory,
                           const FileRecord& record);

}  // namespace ptrain::ckpt
