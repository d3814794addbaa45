// What a bad disk or a careless hand does to a file.

#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

namespace ptrain::ckpt {

inline void flip_bit(const std::filesystem::path& file, std::uint64_t offset) {
  std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
  stream.exceptions(std::ios::failbit | std::ios::badbit | std::ios::eofbit);
  stream.seekg(static_cast<std::streamoff>(offset));
  const char c = static_cast<char>(stream.get() ^ 1);
  stream.seekp(static_cast<std::streamoff>(offset));
  stream.put(c);
}

inline void write_text(const std::filesystem::path& file, const std::string& text) {
  std::ofstream(file, std::ios::binary) << text;
}

}  // namespace ptrain::ckpt
