#include "tools/data/text_source.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <vector>

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libcommon/data/utf8.h"

namespace ptrain::data {
namespace {

// How long a stop signal may go unnoticed while a pipe is silent.
constexpr std::chrono::milliseconds kStopCheckInterval{200};

os::FileDescriptor open_text(const std::string& path) {
  os::FileDescriptor file(path == "-" ? ::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0)
                                      : ::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) throw io_error("open " + path, errno);
  return file;
}

// What is left of a regular file from where its descriptor stands.
std::optional<std::uint64_t> bytes_left(int fd, const std::string& name) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) throw io_error("stat " + name, errno);
  if (S_ISDIR(status.st_mode)) throw io_error("read " + name, EISDIR);
  if (!S_ISREG(status.st_mode)) return std::nullopt;
  const off_t position = ::lseek(fd, 0, SEEK_CUR);
  if (position < 0) throw io_error("seek in " + name, errno);
  return static_cast<std::uint64_t>(std::max<off_t>(status.st_size - position, 0));
}

os::FileDescriptor nameless_file(const std::filesystem::path& directory) {
  std::string name = directory / ".spool-XXXXXX";
  os::FileDescriptor file(::mkostemp(name.data(), O_CLOEXEC));
  if (!file.valid()) throw io_error("create a temporary file in " + directory.string(), errno);
  ::unlink(name.c_str());
  return file;
}

}  // namespace

TextSource::TextSource(const std::string& path, const os::StopSignal* stop)
    : stop_(stop),
      name_(path == "-" ? "standard input" : path),
      file_(open_text(path)),
      size_(bytes_left(file_.get(), name_)) {}

std::size_t TextSource::read(std::span<char> out) {
  while (wait_for_input()) {
    const ssize_t count = ::read(file_.get(), out.data(), out.size());
    if (count >= 0) return static_cast<std::size_t>(count);
    if (errno != EINTR && errno != EAGAIN) throw io_error("read " + name_, errno);
  }
  return 0;
}

// False when a stop signal came.
bool TextSource::wait_for_input() const {
  pollfd waiting{.fd = file_.get(), .events = POLLIN, .revents = 0};
  while (stop_ == nullptr || !stop_->requested()) {
    // Regular files are always ready.
    const int ready = ::poll(&waiting, 1, static_cast<int>(kStopCheckInterval.count()));
    if (ready > 0) return true;
    if (ready < 0 && errno != EINTR) throw io_error("wait for " + name_, errno);
  }
  return false;
}

void TextSource::spool(const std::filesystem::path& directory) {
  os::FileDescriptor spooled = nameless_file(directory);
  const std::string attempt = "write a copy of " + name_ + " in " + directory.string();
  std::vector<char> buffer(kTextBlockBytes);
  std::uint64_t total = 0;
  while (const std::size_t count = read(buffer)) {
    for (std::size_t done = 0; done < count;) {
      const ssize_t written = ::write(spooled.get(), buffer.data() + done, count - done);
      if (written < 0 && errno != EINTR) throw io_error(attempt, errno);
      if (written > 0) done += static_cast<std::size_t>(written);
    }
    total += count;
  }
  if (::lseek(spooled.get(), 0, SEEK_SET) < 0) throw io_error(attempt, errno);
  file_ = std::move(spooled);
  size_ = total;
}

std::optional<TextBlock> TextBlocks::next() {
  fill();
  if (begin_ == end_) return std::nullopt;
  const std::size_t size = block_size();
  const TextBlock block{
      .text = {buffer_.data() + begin_, size}, .offset = offset_, .after_cut = offset_ >= cut_};
  begin_ += size;
  offset_ += size;
  return block;
}

void TextBlocks::fill() {
  std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
  end_ -= begin_;
  begin_ = 0;
  while (!at_end_ && end_ < buffer_.size()) {
    const std::size_t count = source_.read({buffer_.data() + end_, buffer_.size() - end_});
    at_end_ = count == 0;
    end_ += count;
  }
}

std::size_t TextBlocks::block_size() {
  const std::string_view text(buffer_.data(), end_);
  if (offset_ < cut_ && cut_ - offset_ < text.size()) {
    const std::string_view before = text.substr(0, cut_ - offset_);
    cut_ -= incomplete_utf8_tail(before);
    if (offset_ < cut_) return cut_ - offset_;
  }
  if (at_end_) return text.size();
  const std::size_t newline = text.rfind('\n');
  return newline != std::string_view::npos ? newline + 1 : text.size() - incomplete_utf8_tail(text);
}

Error not_utf8(const TextSource& source, const TextBlock& block, std::size_t offset) {
  return Error(ErrorKind::corrupt,
               fmt::format("{}: byte {:#04x} at offset {} is not UTF-8", source.name(),
                           static_cast<unsigned char>(block.text[offset]), block.offset + offset),
               "convert the text to UTF-8, or use --tokenizer bytes");
}

}  // namespace ptrain::data
