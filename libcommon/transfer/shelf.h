// The checkpoints of one folder, as a holder gives them out: by id, a piece at a time.
//
// Gives out what a valid manifest names and what is here in its size, and only bytes that
// have the SHA-256 that the manifest and the records say: a holder whose disk has failed
// says so instead of sending damage. No name from the network ever becomes a path. One
// thread. What cannot be given is a Refusal; Error only where a folder cannot be read.

#pragma once

#include <cstdint>
#include <deque>
#include <filesystem>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "libcommon/base/clock.h"
#include "libcommon/ckpt/store.h"
#include "libcommon/os/storage.h"
#include "libcommon/transfer/protocol.h"
#include "libcommon/wire/buffer.h"

namespace ptrain::transfer {

// The folder is not read again sooner, however many unknown ids are asked for.
inline constexpr Duration kShelfRefresh = std::chrono::seconds(1);
// Records whose chunk hashes are kept at hand.
inline constexpr std::size_t kMaxRecordsAtHand = 16;

class Shelf {
 public:
  using Piece = std::variant<wire::Buffer, Refusal>;

  // `storage` outlives the object.
  Shelf(os::Storage& storage, std::filesystem::path directory, const Clock& clock);

  Listing list();
  Piece manifest(const ckpt::CheckpointId& id);
  Piece record(const ckpt::CheckpointId& id, StageIndex stage);
  Piece chunk(const ChunkRequest& request);

 private:
  using RecordKey = std::pair<ckpt::CheckpointId, StageIndex>;
  struct RecordAtHand {
    RecordKey key;
    std::string text;
    ckpt::StageRecord record;
  };

  void refresh();
  const ckpt::StepInfo* find(const ckpt::CheckpointId& id);
  std::variant<const RecordAtHand*, Refusal> load_record(const RecordKey& key);
  Piece read_chunk(const ckpt::StepInfo& step, const ckpt::FileRecord& file, std::uint32_t chunk);

  os::Storage& storage_;
  ckpt::CheckpointStore store_;
  const Clock& clock_;
  std::vector<ckpt::StepInfo> steps_;  // with a valid manifest, newest first
  std::optional<TimePoint> refreshed_;
  std::deque<RecordAtHand> records_;  // the latest loaded in front
};

}  // namespace ptrain::transfer
