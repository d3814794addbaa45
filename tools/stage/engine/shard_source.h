// Files of checkpoints that this stage needs and does not have whole, from whoever holds
// them (--from).
//
// Talks to the holders only when something is asked for. A holder that is away or has
// nothing is no error: it is said, and the run goes on with what is here. One thread.

#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "libcommon/base/clock.h"
#include "libcommon/base/log.h"
#include "libcommon/os/storage.h"
#include "libcommon/transfer/fetch.h"

namespace ptrain::stage {

class ShardSource {
 public:
  // `options` name the holders, the folder, this stage's share, and who writes. Borrows the rest.
  // Throws Error(usage) where a holder cannot be dialled as it is named.
  ShardSource(transfer::FetchOptions options, os::Storage& storage, Log& log, const Clock& clock);

  // What the holders have by that name ("latest", a step, an id); nullopt for nothing. `accept` may
  // throw at the sight of a manifest: of the latest ones, the next is looked at then.
  std::optional<transfer::Entry> find(const std::string& which,
                                      std::function<void(const ckpt::Manifest&)> accept);
  // Brings or mends this stage's files of that checkpoint. False when that could not be.
  // `accept` may throw at the sight of the manifest, before anything is written.
  bool bring(const std::string& id, std::function<void(const ckpt::Manifest&)> accept);

 private:
  void say(const transfer::FetchResult& result);

  transfer::FetchOptions options_;
  os::Storage& storage_;
  Log& log_;
  const Clock& clock_;
};

}  // namespace ptrain::stage
