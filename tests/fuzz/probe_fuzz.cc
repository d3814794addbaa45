// Fuzzes what an asker and a server of probes read from each other: whatever comes, reading ends
// with a value or a refusal, and what was accepted means the same after it is written and read
// again.

#include <cstdint>
#include <cstdlib>
#include <span>

#include "libcommon/wire/probe.h"

namespace {

using namespace ptrain;

constexpr std::uint64_t kTest = 7;

template <class Value, class Read, class Write>
void check(wire::Message message, Read read, Write write) {
  const auto first = read(message);
  const auto* value = std::get_if<Value>(&first);
  if (value == nullptr) return;
  const auto again = read(write(kTest, *value));
  const auto* same = std::get_if<Value>(&again);
  if (same == nullptr || *same != *value) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const wire::Buffer bytes = wire::Buffer::copy_of(std::as_bytes(std::span(data, size)));
  wire::Message order = wire::probe_order_message(kTest, wire::ProbeHalt{});
  order.payload = bytes;
  check<wire::ProbeOrder>(std::move(order), wire::read_probe_order, wire::probe_order_message);
  wire::Message report = wire::probe_report_message(kTest, wire::ProbeEcho{1});
  report.payload = bytes;
  check<wire::ProbeReport>(std::move(report), wire::read_probe_report, wire::probe_report_message);
  return 0;
}
