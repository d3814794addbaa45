// Brings a checkpoint here from whoever holds it, and mends one that is damaged here.
//
// Several holders are used at once, chunk by chunk. What they send is checked against the
// checkpoint's id by way of its manifest and records, so they need not be trusted: one that
// sends what does not check is left out and named. So is one that lists a checkpoint and cannot
// show its manifest; one that is slow to show it is passed over for the others after seconds.
// What is here already is kept; a fetch that was killed goes on where it ended. The manifest is
// written last, so the step does not exist before it is whole (ptrain-checkpoint(5)).

#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "libcommon/base/clock.h"
#include "libcommon/base/log.h"
#include "libcommon/base/units.h"
#include "libcommon/ckpt/manifest.h"
#include "libcommon/os/storage.h"
#include "libcommon/transfer/checkpoint_choice.h"
#include "libcommon/transfer/holder_pool.h"

namespace ptrain::transfer {

struct FetchProgress {
  ByteCount local_bytes;    // of the wanted files, whole here
  ByteCount fetched_bytes;  // of them, by this fetch
  ByteCount wanted_bytes;   // in all; 0 until it is known
};

// What waits for one holder while others could be asked.
struct Patience {
  // For the other holders to be heard, once one has said what it has.
  Duration others = std::chrono::seconds(3);
  // Then a manifest or a record is asked of the next holder as well.
  Duration next = std::chrono::seconds(3);
  // Nobody shows the manifest of a checkpoint for so long: other checkpoints are looked at.
  Duration manifest = std::chrono::seconds(10);
};

struct FetchOptions {
  HolderOptions holders;
  std::string which = "latest";  // or a step, or at least 8 digits of an id
  Share share;
  std::filesystem::path directory;
  // In the names of unfinished files; processes that fetch into one folder differ in it.
  std::string writer = "fetch";
  // May throw Error at the sight of the manifest, before anything is written. Of the latest ones,
  // the next is looked at then, and the error is thrown when there is none.
  std::function<void(const ckpt::Manifest&)> accept{};
  std::optional<ByteCount> rate_bytes_per_s;
  Patience patience{};
  std::function<void(const FetchProgress&)> progress = [](const FetchProgress&) {};
  std::function<bool()> stop = [] { return false; };  // asked every 100 ms
};

struct RepairedChunk {
  std::string file;
  std::uint32_t chunk = 0;
  ByteCount begin;
  ByteCount size;
};

struct FetchResult {
  Step step;
  ckpt::CheckpointId id;
  std::string weights_sha256;
  FetchProgress progress;
  std::vector<RepairedChunk> repaired;  // were damaged here, and are not any more
  std::vector<Holder> holders;
  bool stopped = false;  // told to stop: not whole yet, and what came is kept
};

// Throws Error(try_again) when every holder is busy, Error(unavailable) when none is left or
// none has it, Error(usage) when the folder holds another checkpoint of that step or `which`
// fits several, Error(io) from the storage.
FetchResult fetch(const FetchOptions& options, os::Storage& storage, Log& log, const Clock& clock);

// The checkpoint that fetch() would bring, without bringing it: a holder has shown its manifest.
// nullopt when the holders have none, or `stop` said so. Throws as fetch() does.
std::optional<Entry> find_held(const FetchOptions& options, os::Storage& storage, Log& log,
                               const Clock& clock);

}  // namespace ptrain::transfer
