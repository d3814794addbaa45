// The header of one frame (ptrain-net(7), FRAMES) in hexadecimal, with whatever values it is told:
// what tests/net/attacker.py sends, the payload after a colon. The one place where the attacks know
// the protocol.

#include <cstdint>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "libcommon/cli/program.h"
#include "libcommon/transfer/protocol.h"
#include "libcommon/wire/checksum.h"
#include "libcommon/wire/envelope.h"

namespace ptrain {
namespace {

struct Options {
  wire::Hello hello{};
  std::uint32_t stage = 1;
  bool bulk = false;
  std::uint64_t link = 0;  // its number; 0: the first of its kind
  std::uint64_t control_next = 0;
  std::uint64_t bulk_next = 0;
  std::uint64_t message_bytes = 0;
  std::uint64_t sequence = 0;
  std::uint16_t kind = static_cast<std::uint16_t>(wire::MessageKind::step_report);
  std::string payload;
  std::uint64_t credit = 64u << 20;
  std::uint64_t ping = 0;
  std::string reason;
  bool left = false;
  std::string id;    // of a checkpoint
  std::string like;  // a hello in hexadecimal, whose job this one has
};

std::vector<std::byte> bytes_of(const std::string& hex) {
  std::vector<std::byte> bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<std::byte>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

wire::Hello hello(const Options& o) {
  wire::Hello hello = o.hello;
  hello.version = wire::kProtocolVersion;
  if (!o.like.empty()) {
    const auto frame = wire::decode_frame(bytes_of(o.like), {});
    hello = std::get<wire::Hello>(std::get<wire::NumberedFrame>(frame).frame);
    hello.incarnation = o.hello.incarnation;
    hello.to = o.hello.incarnation + 1;  // somebody who is no more
    hello.received = o.hello.received;
  }
  hello.stage = StageIndex(o.stage);
  return hello;
}

void print_bytes(std::span<const std::byte> bytes) {
  for (const std::byte byte : bytes) fmt::print("{:02x}", std::to_integer<unsigned>(byte));
}

int print(const wire::Frame& frame) {
  print_bytes(wire::encode_header(frame, 1));
  if (const auto* data = std::get_if<wire::Data>(&frame)) {
    fmt::print(":");
    print_bytes(data->payload.bytes());
  }
  fmt::print("\n");
  return 0;
}

wire::Urgency urgency_of(const Options& o) {
  return o.bulk ? wire::Urgency::pipeline : wire::Urgency::control;
}

wire::Acknowledgement received(const Options& o) {
  return {.received = {{{.next = o.control_next, .credit_limit = o.credit},
                        {.next = o.bulk_next, .credit_limit = o.credit}}}};
}

// The first chunk of a checkpoint's first file.
wire::Frame request(const Options& o) {
  const wire::Message message = transfer::request_message(
      o.sequence + 1, transfer::ChunkRequest{.id = ckpt::checkpoint_id_from_hex(o.id).value()});
  return wire::Data{.urgency = wire::Urgency::control,
                    .sequence = o.sequence,
                    .checksum = wire::checksum(message.payload.bytes()),
                    .start = wire::MessageStart{.name = message.name,
                                                .tensor = message.tensor,
                                                .payload_bytes = message.payload.size()},
                    .payload = message.payload};
}

wire::Frame data(const Options& o) {
  const auto bytes = std::as_bytes(std::span(o.payload));
  wire::MessageStart start;
  start.name.kind = static_cast<wire::MessageKind>(o.kind);
  start.name.source = StageIndex(o.stage);
  start.payload_bytes = o.message_bytes == 0 ? bytes.size() : o.message_bytes;
  return wire::Data{.urgency = urgency_of(o),
                    .sequence = o.sequence,
                    .checksum = wire::checksum(bytes),
                    .start = start,
                    .payload = wire::Buffer::copy_of(bytes)};
}

}  // namespace
}  // namespace ptrain

int main(int argc, char** argv) {
  using namespace ptrain;
  CLI::App app("Prints the header of a frame in hexadecimal.", "forge_frame");
  Options o;
  std::string what;
  app.add_option("WHAT", what)
      ->check(CLI::IsMember({"hello", "data", "request", "acknowledgement", "ping", "goodbye"}))
      ->required();
  o.hello.run = "checkpoints";
  o.hello.incarnation = 1;
  app.add_option("--run", o.hello.run);
  app.add_option("--job", o.hello.job_hash);
  app.add_option("--stages", o.hello.stage_count);
  app.add_option("--fingerprint", o.hello.data_fingerprint);
  app.add_option("--incarnation", o.hello.incarnation);
  app.add_option("--stage", o.stage);
  app.add_flag("--bulk", o.bulk);
  app.add_option("--link", o.link);
  app.add_option("--control-next", o.control_next);
  app.add_option("--bulk-next", o.bulk_next);
  app.add_option("--message-bytes", o.message_bytes);
  app.add_option("--sequence", o.sequence);
  app.add_option("--kind", o.kind);
  app.add_option("--payload", o.payload);
  app.add_option("--ping", o.ping);
  app.add_option("--credit", o.credit);
  app.add_option("--reason", o.reason);
  app.add_option("--id", o.id);
  app.add_option("--like", o.like);
  app.add_flag("--left", o.left, "Of a goodbye: all is well");
  return cli::run_program(app, argc, argv, [&] {
    const std::uint64_t first = o.bulk ? 2 : 1;
    const std::uint64_t number = o.link == 0 ? first : o.link;
    o.hello.link = {.purpose = o.bulk ? wire::Purpose::bulk : wire::Purpose::control,
                    .number = number,
                    .line = number};
    o.hello.received = received(o);
    if (what == "hello") return print(hello(o));
    if (what == "data") return print(data(o));
    if (what == "request") return print(request(o));
    if (what == "acknowledgement") return print(received(o));
    if (what == "ping") return print(wire::Ping{.number = o.ping});
    return print(wire::Goodbye{.failed = !o.left, .reason = o.reason});
  });
}
