// Appends to a peer's ledger. As with metrics, what cannot be written is kept, said once, and ends
// nothing (os::LineSink); a file that cannot be opened is an Error(io) before the work begins.
//
// Owns the file. One thread at a time; the log outlives the object.

#pragma once

#include <cstdint>
#include <filesystem>

#include "libcommon/base/log.h"
#include "libcommon/metrics/ledger.h"
#include "libcommon/os/line_sink.h"

namespace ptrain::metrics {

class LedgerWriter {
 public:
  // What is there stays; a line that a killed process left unfinished is ended. Writes `begin`.
  LedgerWriter(const std::filesystem::path& path, const LedgerBegin& begin, Log& log);

  void write(const LedgerRecord& record) { sink_.append(to_json_line(record)); }

  // Lines that are not in the file, because it cannot be written.
  std::uint64_t missing() const { return sink_.missing(); }

 private:
  os::LineSink sink_;
};

}  // namespace ptrain::metrics
