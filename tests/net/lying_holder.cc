// A holder of checkpoints that lies, beside honest ones: what a fetch makes of it. The first
// argument says how, the second is the folder of an honest holder. Listens on loopback, prints its
// endpoint, and goes on until it is ended.
//
//   random   lists the latest step under an id that nothing has, and refuses the rest
//   garbage  lists a later step under the hash of garbage, and shows the garbage
//   silent   lists what there is, and says nothing more
//   owing    shows manifest and records, and owes the chunks for good

#include <cstdint>
#include <cstdio>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "libcommon/base/clock.h"
#include "libcommon/base/log.h"
#include "libcommon/base/sha256.h"
#include "libcommon/net/guest_admission.h"
#include "libcommon/net/node.h"
#include "libcommon/os/storage.h"
#include "libcommon/transfer/protocol.h"
#include "libcommon/transfer/shelf.h"

namespace {

using namespace ptrain;
using namespace ptrain::transfer;
using Told = std::variant<std::monostate, Listing, Refusal, wire::Buffer>;  // none: nothing

constexpr std::string_view kGarbage = "garbage";

wire::Buffer garbage() { return wire::Buffer::copy_of(std::as_bytes(std::span(kGarbage))); }

Listing under(Listing listing, Step step, std::string_view hashed) {
  Entry& latest = listing.front();
  latest.step = step;
  latest.id = {sha256(hashed)};
  return {latest};
}

Told piece(Shelf::Piece piece) {
  if (auto* refusal = std::get_if<Refusal>(&piece)) return *refusal;
  return std::get<wire::Buffer>(std::move(piece));
}

Told random(Shelf& shelf, const Request& request) {
  if (!std::holds_alternative<ListRequest>(request)) return Refusal{};
  const Listing listing = shelf.list();
  return under(listing, listing.front().step, "nothing");
}

Told garbage(Shelf& shelf, const Request& request) {
  if (!std::holds_alternative<ListRequest>(request)) return garbage();
  return under(shelf.list(), Step(1'000'000), kGarbage);
}

Told silent(Shelf& shelf, const Request& request) {
  if (!std::holds_alternative<ListRequest>(request)) return {};
  return shelf.list();
}

Told owing(Shelf& shelf, const Request& request) {
  if (const auto* manifest = std::get_if<ManifestRequest>(&request)) {
    return piece(shelf.manifest(manifest->id));
  }
  if (const auto* record = std::get_if<RecordRequest>(&request)) {
    return piece(shelf.record(record->id, record->stage));
  }
  return silent(shelf, request);
}

std::optional<wire::Message> message_of(std::uint64_t number, Told told) {
  if (auto* listing = std::get_if<Listing>(&told)) return answer_message(number, *listing);
  if (auto* refusal = std::get_if<Refusal>(&told)) return answer_message(number, *refusal);
  if (auto* bytes = std::get_if<wire::Buffer>(&told)) return bytes_message(number, *bytes);
  return std::nullopt;
}

net::NodeOptions node_options() {
  net::NodeOptions options;
  options.introduction = introduction();
  options.self = StageIndex(0);
  options.counterpart = StageIndex(1);
  options.listen = net::parse_endpoint("tcp://127.0.0.1:0");
  return options;
}

}  // namespace

int main(int argc, char** argv) {
  const std::map<std::string, Told (*)(Shelf&, const Request&)> lies{
      {"random", random}, {"garbage", garbage}, {"silent", silent}, {"owing", owing}};
  if (argc != 3 || !lies.contains(argv[1])) return 2;
  const auto lie = lies.at(argv[1]);
  const SteadyClock clock;
  StderrLog log("lying_holder");
  os::PosixStorage storage(&log);
  Shelf shelf(storage, argv[2], clock);
  net::GuestRules rules;
  rules.introduction = introduction();
  net::Node node(node_options(), std::make_unique<net::GuestAdmission>(rules), log, clock);
  node.start();
  std::printf("%s\n", to_string(node.listening()).c_str());
  std::fflush(stdout);
  while (true) {
    const auto event = node.next(std::chrono::seconds(1));
    const auto* asked = event ? std::get_if<net::Delivery>(&*event) : nullptr;
    if (asked == nullptr) continue;
    const auto request = std::get<Request>(read_request(asked->message));
    auto answer = message_of(asked->message.name.step.value(), lie(shelf, request));
    if (!answer) continue;
    const wire::Urgency urgency = wire::urgency_of(answer->name.kind);
    node.send(asked->from, urgency, std::move(*answer));
  }
}
