#include "libcommon/elastic/sender_log.h"

#include <utility>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/wire/checksum.h"

namespace ptrain::elastic {
namespace {

constexpr std::string_view kFilePrefix = "sent-";
constexpr std::string_view kFileSuffix = ".log";

bool is_log_file(const std::string& name) {
  return name.starts_with(kFilePrefix) && name.ends_with(kFileSuffix);
}

}  // namespace

SenderLog::SenderLog(os::Storage& storage, std::filesystem::path directory, SenderLogLimits limits)
    : storage_(storage), directory_(std::move(directory)), limits_(limits) {
  if (limits_.disk.value() == 0) return;
  storage_.create_directory(directory_);
  for (const std::string& name : storage_.list(directory_)) {
    if (is_log_file(name)) storage_.remove(directory_ / name);
  }
  begin_file();
}

// What is left belongs to nobody; a folder that cannot be written now is emptied by the next log.
SenderLog::~SenderLog() {
  writer_.reset();
  for (const auto& [number, file] : files_) {
    try {
      storage_.remove(file.path);
    } catch (const Error&) {
    }
  }
}

void SenderLog::begin_file() {
  writer_.reset();
  const std::uint64_t number = last_file_ + 1;
  const auto path = directory_ / fmt::format("{}{:06}{}", kFilePrefix, number, kFileSuffix);
  writer_ = storage_.create(path);
  last_file_ = number;
  files_[number] = {path, ByteCount(0), 0};
}

void SenderLog::reserve(std::uint64_t messages, ByteCount payload) {
  drop_empty_files();
  const std::uint64_t step = payload.value() + messages * kMessageOverhead;
  if (step > limits_.memory.value()) {
    throw Error(ErrorKind::usage,
                fmt::format("a step sends {} messages of {} bytes, and at most {} bytes of what is "
                            "sent may be kept in memory",
                            messages, payload.value(), limits_.memory.value()),
                "allow the log of what was sent more memory");
  }
  while (size().memory.value() + step > limits_.memory.value()) {
    if (in_memory_.empty()) {
      throw Error(ErrorKind::io,
                  fmt::format("{} messages are kept for others, and their names alone leave no "
                              "room in {} bytes of memory: {}",
                              messages_, limits_.memory.value(), biggest_destination()),
                  "save checkpoints more often, or allow the log of what was sent more memory");
    }
    spill_oldest();
  }
}

void SenderLog::spill_oldest() {
  const auto [number, cell] = *in_memory_.begin();
  Entry& entry = destinations_.at(cell).entries.at(number);
  if (limits_.disk.value() == 0 ||
      size().disk.value() + entry.payload_size > limits_.disk.value()) {
    throw Error(ErrorKind::io,
                fmt::format("what was sent is kept for others, {} bytes in memory and {} on disk, "
                            "and its limits are {} and {}: {}",
                            size().memory.value(), size().disk.value(), limits_.memory.value(),
                            limits_.disk.value(), biggest_destination()),
                "save checkpoints more often, or allow the log of what was sent more memory or "
                "disk");
  }
  if (writer_ == nullptr || files_.at(last_file_).size >= limits_.file) begin_file();
  File& file = files_.at(last_file_);
  const Place place{last_file_, file.size.value(), wire::checksum(entry.payload.bytes())};
  try {
    writer_->append(entry.payload.bytes());
  } catch (...) {
    // It may have been written in part. What was whole before stays where it is.
    writer_.reset();
    throw;
  }
  file.size = ByteCount(file.size.value() + entry.payload_size);
  ++file.in_use;
  payload_in_memory_ = ByteCount(payload_in_memory_.value() - entry.payload_size);
  entry.payload = {};
  entry.place = place;
  in_memory_.erase(number);
}

void SenderLog::add(const job::CellIndex& to, wire::Message message) {
  Destination& destination = destinations_[to];
  if (message.name.step < destination.complete_from) return;  // nobody will ask for it
  const auto [named, added] = destination.numbers.emplace(message.name, last_number_ + 1);
  if (!added) return;
  const std::uint64_t number = ++last_number_;
  const std::uint64_t size = message.payload.size();
  destination.entries[number] = {.name = message.name,
                                 .tensor = std::move(message.tensor),
                                 .payload = std::move(message.payload),
                                 .payload_size = size,
                                 .place = std::nullopt};
  in_memory_[number] = to;
  payload_in_memory_ = ByteCount(payload_in_memory_.value() + size);
  ++messages_;
}

void SenderLog::forget(const job::CellIndex& to, Step reached) {
  Destination& destination = destinations_[to];
  if (reached <= destination.complete_from) return;
  destination.complete_from = reached;
  std::erase_if(destination.entries, [&](const auto& numbered) {
    const auto& [number, entry] = numbered;
    if (entry.name.step >= reached) return false;
    if (entry.place) {
      --files_.at(entry.place->file).in_use;
    } else {
      payload_in_memory_ = ByteCount(payload_in_memory_.value() - entry.payload_size);
      in_memory_.erase(number);
    }
    destination.numbers.erase(entry.name);
    --messages_;
    return true;
  });
  try {
    drop_empty_files();
  } catch (const Error&) {  // again in reserve(), which says so
  }
}

void SenderLog::drop_empty_files() {
  for (auto each = files_.begin(); each != files_.end();) {
    const bool is_written = writer_ != nullptr && each->first == last_file_;
    if (each->second.in_use > 0 || (is_written && each->second.size.value() == 0)) {
      ++each;
      continue;
    }
    if (is_written) writer_.reset();
    storage_.remove(each->second.path);
    each = files_.erase(each);
  }
}

std::optional<wire::Message> SenderLog::replay(const job::CellIndex& to, ReplayPoint& point) const {
  const auto destination = destinations_.find(to);
  if (destination == destinations_.end()) return std::nullopt;
  const auto& entries = destination->second.entries;
  for (auto each = entries.upper_bound(point.after); each != entries.end(); ++each) {
    const Entry& entry = each->second;
    if (entry.name.step < point.from) continue;
    wire::Message message{entry.name, entry.tensor, entry.payload};
    if (entry.place) {
      const std::filesystem::path& path = files_.at(entry.place->file).path;
      wire::MutableBuffer payload(entry.payload_size);
      storage_.open(path)->read_at(entry.place->offset, payload.bytes());
      message.payload = std::move(payload).freeze();
      if (wire::checksum(message.payload.bytes()) != entry.place->checksum) {
        throw Error(
            ErrorKind::corrupt,
            fmt::format("{}: {} bytes at offset {}, {}, are not what was written", path.string(),
                        entry.payload_size, entry.place->offset, wire::to_string(entry.name)));
      }
    }
    point.after = each->first;
    return message;
  }
  return std::nullopt;
}

Step SenderLog::complete_from(const job::CellIndex& to) const {
  const auto destination = destinations_.find(to);
  return destination == destinations_.end() ? Step(0) : destination->second.complete_from;
}

SenderLogSize SenderLog::size() const {
  SenderLogSize size{.messages = messages_, .memory = {}, .disk = {}};
  size.memory = ByteCount(payload_in_memory_.value() + messages_ * kMessageOverhead);
  for (const auto& [number, file] : files_) {
    size.disk = ByteCount(size.disk.value() + file.size.value());
  }
  return size;
}

// Who keeps the log from getting shorter.
std::string SenderLog::biggest_destination() const {
  std::uint64_t most = 0;
  std::string text = "nothing is kept";
  for (const auto& [cell, destination] : destinations_) {
    std::uint64_t bytes = 0;
    for (const auto& [number, entry] : destination.entries) bytes += entry.payload_size;
    if (bytes < most || destination.entries.empty()) continue;
    most = bytes;
    text = fmt::format("the most for {}, {} bytes since step {}", job::to_string(cell), bytes,
                       destination.complete_from.value());
  }
  return text;
}

}  // namespace ptrain::elastic
