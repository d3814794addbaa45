// Any text as a view and as a ledger: a view that is written back in the same bytes, a ledger whose
// lines mean the same when they are written and read again, or an Error of kind corrupt; nothing
// else.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "libcommon/base/error.h"
#include "libcommon/job/view.h"
#include "libcommon/metrics/ledger.h"
#include "libcommon/metrics/ledger_check.h"

namespace {

template <class Check>
void refused_or(Check&& check) {
  try {
    check();
  } catch (const ptrain::Error& error) {
    if (error.kind() != ptrain::ErrorKind::corrupt) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  refused_or([&] {
    if (canonical_json(ptrain::job::parse_view(text, "fuzz")) != text) std::abort();
  });
  refused_or([&] {
    const ptrain::metrics::Ledger ledger = ptrain::metrics::parse_ledger(text, "fuzz");
    std::string again;
    for (const auto& line : ledger.lines) again += to_json_line(line.record) + "\n";
    const ptrain::metrics::Ledger read = ptrain::metrics::parse_ledger(again, "fuzz");
    if (read.lines.size() != ledger.lines.size()) std::abort();
    ptrain::metrics::check_ledgers({&ledger, 1});
  });
  return 0;
}
