// Text as ptrain-data reads it: a file or standard input, in blocks of bounded size.

#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "libcommon/base/error.h"
#include "libcommon/os/file_descriptor.h"
#include "libcommon/os/stop_signal.h"

namespace ptrain::data {

// An open file, or a pipe. Move-only; one thread at a time; Error(io) names the path.
//
// After a stop signal read() reports the end of the text, so that whoever waits for a slow
// pipe can leave; whoever gets the end must ask the signal. `stop` must outlive the source; it
// is null where signals end the program by themselves.
class TextSource {
 public:
  // "-" is standard input.
  explicit TextSource(const std::string& path, const os::StopSignal* stop = nullptr);

  // The path, or "standard input".
  const std::string& name() const { return name_; }
  // Bytes to come; nothing where that is not known, as for a pipe.
  std::optional<std::uint64_t> size() const { return size_; }
  // At least one byte, or 0 at the end.
  std::size_t read(std::span<char> out);

  // Copies a source of unknown size to a nameless file in `directory`, and goes on from there.
  void spool(const std::filesystem::path& directory);

 private:
  bool wait_for_input() const;

  const os::StopSignal* stop_;
  std::string name_;
  os::FileDescriptor file_;
  std::optional<std::uint64_t> size_;
};

// What is encoded at once. A line longer than this is cut.
inline constexpr std::size_t kTextBlockBytes = std::size_t{1} << 20;
inline constexpr std::uint64_t kNoCut = std::numeric_limits<std::uint64_t>::max();

struct TextBlock {
  std::string_view text;     // valid until the next call
  std::uint64_t offset = 0;  // of its first byte in the source
  bool after_cut = false;
};

// Says where in its source a block stops being UTF-8: at this offset in the block.
Error not_utf8(const TextSource& source, const TextBlock& block, std::size_t offset);

// Cuts a text into blocks that end where a line ends, or, where there is no such place, where
// a UTF-8 character ends. No block holds text from both sides of the cut, which moves
// back to the beginning of the character that it falls into.
class TextBlocks {
 public:
  // `cut` is an offset; the source must outlive the object.
  TextBlocks(TextSource& source, std::uint64_t cut) : source_(source), cut_(cut) {}

  // Nothing at the end of the text.
  std::optional<TextBlock> next();

 private:
  void fill();
  std::size_t block_size();

  TextSource& source_;
  std::uint64_t cut_;
  std::string buffer_ = std::string(kTextBlockBytes, '\0');
  std::size_t begin_ = 0;  // of what was read into the buffer and not given out
  std::size_t end_ = 0;
  std::uint64_t offset_ = 0;  // of begin_ in the source
  bool at_end_ = false;       // of the source
};

}  // namespace ptrain::data
