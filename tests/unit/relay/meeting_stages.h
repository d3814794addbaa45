// Stages that meet through a relay, for tests of what becomes of them.

#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "libcommon/base/clock.h"
#include "libcommon/base/log.h"
#include "libcommon/net/address_reach.h"
#include "libcommon/net/mesh.h"
#include "libcommon/net/ticket.h"
#include "libcommon/wire/frame.h"
#include "tests/unit/relay/relay_client.h"
#include "tests/unit/relay/run_of_members.h"
#include "tests/unit/relay/running_relay.h"
#include "tools/relay/carrier/carrier.h"

namespace ptrain::relay {

// Both ports of a relay.
struct WholeRelay {
  RunningRelay control;
  NullLog log;
  SteadyClock clock;
  Carrier carrier{{.host = "127.0.0.1"}, control.desk, log, clock};

  net::TicketRelay for_ticket() const {
    net::Endpoint endpoint = control.endpoint();
    endpoint.key = control.key().public_key();
    return {.control = endpoint, .data_port = carrier.port()};
  }
};

inline net::Ticket ticket_of(const TestRun& run, const std::vector<net::TicketRelay>& relays) {
  return {.run = "test",
          .relays = relays,
          .issuer = run.key(),
          .grant = run.grant,
          .secret = run.secret};
}

// Where another host could dial this one, because nobody dials loopback at a peer's word; empty
// where there is no network.
inline std::string address_of_this_host() {
  for (const net::Network& each : net::own_networks()) {
    const std::string text = net::counted_as(each.address);
    if (!text.ends_with("/64") && net::may_be_dialled(each.address, {each})) return text;
  }
  return {};
}

inline net::MeshOptions options_of(std::uint32_t stage, std::uint32_t stages,
                                   const net::Ticket& ticket) {
  net::MeshOptions options;
  options.self = StageIndex(stage);
  options.meeting = net::Meeting{.ticket = ticket, .punch = false};
  for (std::uint32_t peer = 0; peer < stages; ++peer) {
    if (peer != stage) options.peers.push_back({.stage = StageIndex(peer)});
  }
  options.introduction = {
      .run = "test", .job_hash = "cafe", .stage_count = stages, .data_fingerprint = "d00d"};
  options.key = net::KeyPair::generate();
  options.connect_timeout = kAnswerPatience;
  options.silence_timeout = std::chrono::seconds(60);
  options.reconnect_timeout = std::chrono::seconds(60);
  return options;
}

inline wire::Message message_of(std::uint32_t source, std::uint64_t step, std::size_t bytes) {
  wire::MutableBuffer payload(bytes);
  std::fill_n(payload.data(), bytes, static_cast<std::byte>(step));
  return {.name = {.epoch = 0,
                   .step = Step(step),
                   .microbatch = MicrobatchIndex(0),
                   .kind = wire::MessageKind::activation,
                   .source = StageIndex(source)},
          .tensor = {},
          .payload = std::move(payload).freeze()};
}

}  // namespace ptrain::relay
