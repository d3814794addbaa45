// What a peer has sent and may be asked for again: messages as they were sent, by the cell they
// went to, until that cell has no more use for them. A cell whose holder is lost is computed again
// from its last checkpoint and from these.
//
// The log shares the buffers of the messages with whoever sends them, so keeping one copies
// nothing; counted are the bytes of its payload. What goes beyond the limit in memory goes to
// files, the oldest first, and only in reserve(), which a step begins with: a log that cannot be
// kept, because a limit is reached or the folder is full or cannot be written, is an error there,
// while nothing is lost, and never within the step. After the error the log is what it was, and
// reserve() may be tried again.
//
// The log lives as long as its process. A peer that starts anew has sent nothing, and who waits for
// its messages has them computed again: so nothing here is synced or read back by another process,
// and files that one left behind are removed. A folder belongs to one log at a time.
//
// Borrows the storage. One thread.

#pragma once

#include <compare>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "libcommon/base/units.h"
#include "libcommon/job/cell_index.h"
#include "libcommon/os/storage.h"
#include "libcommon/wire/message.h"

namespace ptrain::elastic {

struct SenderLogLimits {
  ByteCount memory{std::uint64_t{512} << 20};
  ByteCount disk{std::uint64_t{8} << 30};   // 0: nothing is written
  ByteCount file{std::uint64_t{64} << 20};  // about the size of one; it goes when all in it has
};

// Where a replay is; a value, so that it may wait for room and go on.
struct ReplayPoint {
  Step from;                // messages of this step and later ones
  std::uint64_t after = 0;  // number of the last one that was given
};

// For the metrics.
struct SenderLogSize {
  std::uint64_t messages = 0;
  ByteCount memory;  // payloads in memory, and kMessageOverhead for every message
  ByteCount disk;    // files, with what in them was forgotten
  auto operator<=>(const SenderLogSize&) const = default;
};

class SenderLog {
 public:
  // Of a message's name and place, wherever its payload is.
  static constexpr std::uint64_t kMessageOverhead = 256;

  // Makes the folder (one level), and its first file, so that one that cannot be written is an
  // Error(io) when the run begins. With a limit of 0 on disk there is no folder.
  SenderLog(os::Storage& storage, std::filesystem::path directory, SenderLogLimits limits);
  ~SenderLog();
  SenderLog(const SenderLog&) = delete;
  SenderLog& operator=(const SenderLog&) = delete;

  // Before a step: makes room in memory for the messages that it will send. Throws Error(usage)
  // where a step alone is more than the limit in memory, Error(io) where the log cannot be kept.
  void reserve(std::uint64_t messages, ByteCount payload);

  // Keeps it. One of the same name for the same cell is the same message, sent again, and kept
  // once. What was not reserved is kept as well, over the limit in memory until the next reserve().
  void add(const job::CellIndex& to, wire::Message message);

  // The cell will not ask for messages of steps before `reached` again: it has a durable checkpoint
  // after that many steps, or siblings have applied them. Files that cannot be removed are tried
  // again in reserve().
  void forget(const job::CellIndex& to, Step reached);

  // The next message for the cell, in the order in which they were added; nullopt: there is none so
  // far. Throws Error(io) or Error(corrupt) where a file cannot be read as it was written.
  std::optional<wire::Message> replay(const job::CellIndex& to, ReplayPoint& point) const;
  // The first step of which all messages to that cell are here; what comes before was forgotten.
  Step complete_from(const job::CellIndex& to) const;

  SenderLogSize size() const;

 private:
  struct File {
    std::filesystem::path path;
    ByteCount size;
    std::uint64_t in_use = 0;  // messages that are not forgotten
  };
  struct Place {
    std::uint64_t file = 0;
    std::uint64_t offset = 0;
    std::uint64_t checksum = 0;
  };
  struct Entry {
    wire::MessageName name;
    wire::TensorInfo tensor;
    wire::Buffer payload;  // empty once it is in a file
    std::uint64_t payload_size = 0;
    std::optional<Place> place;  // nullopt: in memory
  };
  struct Destination {
    std::map<std::uint64_t, Entry> entries;  // by number, so in the order in which they were added
    std::map<wire::MessageName, std::uint64_t> numbers;
    Step complete_from;
  };

  void spill_oldest();
  void begin_file();
  void drop_empty_files();
  std::string biggest_destination() const;

  os::Storage& storage_;
  std::filesystem::path directory_;
  SenderLogLimits limits_;
  std::map<job::CellIndex, Destination> destinations_;
  std::map<std::uint64_t, job::CellIndex> in_memory_;  // by number
  std::uint64_t last_number_ = 0;
  std::uint64_t messages_ = 0;
  ByteCount payload_in_memory_;
  std::map<std::uint64_t, File> files_;
  std::uint64_t last_file_ = 0;
  std::unique_ptr<os::WritableFile> writer_;  // of last_file_; none after a failure
};

}  // namespace ptrain::elastic
