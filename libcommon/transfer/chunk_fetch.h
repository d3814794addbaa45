// The missing chunks of some files, from several holders at once.
//
// Keeps every holder's window full, checks what comes, and writes it. The plan says which
// chunk goes to whom, the windows how many at a time, the rate when. One thread.

#pragma once

#include <functional>
#include <map>
#include <optional>
#include <vector>

#include "libcommon/base/clock.h"
#include "libcommon/base/rate_limit.h"
#include "libcommon/ckpt/manifest.h"
#include "libcommon/transfer/chunk_plan.h"
#include "libcommon/transfer/holder_pool.h"
#include "libcommon/transfer/local_file.h"
#include "libcommon/transfer/transfer_window.h"

namespace ptrain::transfer {

struct WantedFile {
  StageIndex stage;
  Part part;
  LocalFile local;  // inspected
};

class ChunkFetch {
 public:
  // Borrows everything.
  ChunkFetch(const ckpt::CheckpointId& id, std::vector<WantedFile>& files, HolderPool& pool,
             RateLimit rate, const Clock& clock);

  // Until every chunk is here, or `stop` says so (asked every 100 ms): false then. `arrived`
  // is told of the bytes of each chunk. Throws Error when no holder is left for one.
  bool run(const std::function<bool()>& stop, const std::function<void(ByteCount)>& arrived);

 private:
  void join(HolderIndex holder);
  void top_up();
  Duration patience() const;
  void take(const HolderEvent& event);
  void take(const Answered& answered);
  void take_bytes(HolderIndex holder, ChunkId chunk, const wire::Buffer& bytes);
  void throw_if_hopeless() const;
  std::optional<ChunkId> chunk_of(const Request& request) const;
  ChunkRequest request_of(ChunkId chunk) const;
  std::string describe(ChunkId chunk) const;

  ckpt::CheckpointId id_;
  std::vector<WantedFile>& files_;
  HolderPool& pool_;
  RateLimit rate_;
  const Clock& clock_;
  ChunkPlan plan_;
  std::map<HolderIndex, TransferWindow> windows_;
  std::function<void(ByteCount)> arrived_;
};

}  // namespace ptrain::transfer
