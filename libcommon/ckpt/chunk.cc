#include "libcommon/ckpt/chunk.h"

#include <algorithm>

#include "libcommon/ckpt/safetensors.h"

namespace ptrain::ckpt {

ByteRange chunk_range(const FileRecord& file, std::size_t chunk) {
  return {chunk * kChunkBytes, std::min(file.file.bytes.value(), (chunk + 1) * kChunkBytes)};
}

std::string header_of(const FileRecord& file) {
  std::vector<TensorInfo> infos;
  for (const TensorRecord& tensor : file.tensors) infos.push_back(tensor.info);
  return safetensors_header(infos, pytorch_metadata());
}

std::vector<ByteRange> tensor_ranges(const FileRecord& file) {
  std::vector<ByteRange> ranges;
  std::uint64_t at = header_of(file).size();
  for (const TensorRecord& tensor : file.tensors) {
    ranges.push_back({at, at + *byte_size(tensor.info)});  // a record's sizes were checked
    at = ranges.back().end;
  }
  return ranges;
}

std::vector<std::string> tensors_in(const FileRecord& file, const ByteRange& range) {
  const std::vector<ByteRange> ranges = tensor_ranges(file);
  std::vector<std::string> names;
  if (ranges.empty() || range.begin < ranges.front().begin) names.emplace_back("the header");
  for (std::size_t i = 0; i < ranges.size(); ++i) {
    if (ranges[i].begin < range.end && range.begin < ranges[i].end) {
      names.push_back(file.tensors[i].info.name);
    }
  }
  return names;
}

bool chunk_is_whole(const os::ReadableFile& file, const FileRecord& record, std::size_t chunk,
                    std::span<std::byte> buffer, const Progress& progress) {
  const ByteRange range = chunk_range(record, chunk);
  Sha256 hash;
  for (std::uint64_t at = range.begin; at < range.end;) {
    const auto piece = buffer.first(std::min<std::uint64_t>(buffer.size(), range.end - at));
    file.read_at(at, piece);
    hash.update(piece);
    at += piece.size();
    if (progress) progress(ByteCount(piece.size()));
  }
  return hash.digest() == record.chunk_sha256[chunk];
}

}  // namespace ptrain::ckpt
