#include "tools/stage/stage_mesh.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/cli/event_output.h"
#include "libcommon/net/host_addresses.h"
#include "libcommon/net/peer_id.h"
#include "libcommon/net/peer_record.h"
#include "tools/stage/endpoints.h"
#include "tools/stage/engine/place.h"
#include "tools/stage/engine/post.h"
#include "tools/stage/terms.h"

namespace ptrain::stage {
namespace {

// Without a path to a neighbour: between hosts that were named, it has died; through relays,
// one of them may be starting anew, or somebody's router.
constexpr double kReconnectTimeoutSeconds = 0.8;
constexpr double kMeetingReconnectTimeoutSeconds = 120;

constexpr ByteCount kLeastSendAhead{64u << 20};

Duration in_seconds(double value) {
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(value));
}

void check_meeting(const RunOptions& options) {
  if (options.ticket_file.empty()) {
    const bool asked = options.stages != 0 || options.direct_only || options.relay_only ||
                       !options.announced.empty();
    if (!asked) return;
    throw Error(ErrorKind::usage,
                "--stages, --announce, --direct-only and --relay-only go with --ticket");
  }
  if (options.stages == 0) {
    throw Error(ErrorKind::usage, "--ticket without --stages: how many stages has the job?",
                "add --stages N, the same for every stage");
  }
  if (options.stage >= options.stages) {
    throw Error(ErrorKind::usage, fmt::format("--stage {}: there are {} stages, numbered from 0",
                                              options.stage, options.stages));
  }
}

std::vector<net::Endpoint> stage_endpoints(const RunOptions& options) {
  if (!options.endpoints_file.empty()) {
    auto endpoints = read_endpoints(options.endpoints_file);
    if (options.stage >= endpoints.size()) {
      throw Error(ErrorKind::usage,
                  fmt::format("--stage {}: {} names {} stages, numbered from 0", options.stage,
                              options.endpoints_file, endpoints.size()));
    }
    if (!options.listen.empty()) endpoints[options.stage] = net::parse_endpoint(options.listen);
    return endpoints;
  }
  if (options.peers.empty() && options.listen.empty()) {
    if (options.stage != 0) {
      throw Error(ErrorKind::usage,
                  fmt::format("--stage {}: without endpoints there is one "
                              "stage, 0",
                              options.stage),
                  "name the other stages with --endpoints or --peer");
    }
    return {net::Endpoint{}};
  }
  const bool last = options.stage == options.peers.size();  // which dials all others
  if (options.listen.empty() && !last) {
    throw Error(ErrorKind::usage, "--peer without --listen: where do the peers find this stage?",
                "add --listen, for example --listen tcp://0.0.0.0:7000");
  }
  const net::Endpoint own =
      options.listen.empty() ? net::Endpoint{} : net::parse_endpoint(options.listen);
  return endpoints_from_flags(options.peers, options.stage, own);
}

// The largest tensor that stages of this job send each other: a microbatch's residual stream,
// or the gradient of a tied embedding, both at most float32.
ByteCount largest_message(const job::Job& job) {
  const auto hidden = static_cast<std::uint64_t>(job.model.hidden_size) * sizeof(float);
  const auto tokens = static_cast<std::uint64_t>(job.batch.micro * job.data.seq_len);
  const std::uint64_t tied =
      job.model.tie_word_embeddings ? static_cast<std::uint64_t>(job.model.vocab_size) : 0;
  return ByteCount(std::max(tokens, tied) * hidden);
}

// Stages whose endpoints were named.
void name_peers(net::MeshOptions& mesh, const RunOptions& options) {
  const auto endpoints = stage_endpoints(options);
  // Of two stages the higher one dials: nobody dials the last one, and it needs no port.
  const bool dialled = options.stage + 1 < endpoints.size();
  if (dialled) mesh.listen = endpoints[options.stage];
  bool local = !dialled || mesh.listen->is_local();
  for (const StageIndex peer :
       correspondents({mesh.self, static_cast<std::uint32_t>(endpoints.size())})) {
    mesh.peers.push_back({peer, endpoints[peer.value()]});
    local = local && endpoints[peer.value()].is_local();
  }
  mesh.introduction.run = "static";
  if (!local || !options.key_file.empty()) mesh.key = net::host_key(options.key_file);
}

std::vector<net::Endpoint> announced_endpoints(const RunOptions& options) {
  std::vector<net::Endpoint> endpoints;
  for (const std::string& text : options.announced) {
    endpoints.push_back(net::parse_endpoint(text));
    if (endpoints.back().kind != net::EndpointKind::direct || endpoints.back().port == 0) {
      throw Error(ErrorKind::usage, fmt::format("--announce {}: expected tcp://HOST:PORT", text));
    }
    endpoints.back().key.reset();
  }
  if (!endpoints.empty() && options.listen.empty()) {
    throw Error(ErrorKind::usage, "--announce without --listen: what shall others be let in to?",
                "add --listen, for example --listen tcp://0.0.0.0:7000");
  }
  if (endpoints.size() > net::kMaxCandidates) {
    throw Error(ErrorKind::usage, fmt::format("--announce is given {} times, at most {} allowed",
                                              endpoints.size(), net::kMaxCandidates));
  }
  return endpoints;
}

// Stages that meet through the relays of a ticket.
void meet_peers(net::MeshOptions& mesh, const RunOptions& options) {
  net::Ticket ticket = net::load_valid_ticket(options.ticket_file, net::wall_now());
  if (!options.listen.empty()) mesh.listen = net::parse_endpoint(options.listen);
  for (const StageIndex peer : correspondents({mesh.self, options.stages})) {
    mesh.peers.push_back({.stage = peer});
  }
  mesh.introduction.run = ticket.run_id().to_string();
  mesh.key = net::host_key(options.key_file);
  mesh.meeting = net::Meeting{.ticket = std::move(ticket),
                              .relayed = !options.direct_only,
                              .direct = !options.relay_only,
                              .announced = announced_endpoints(options)};
}

}  // namespace

ByteCount send_ahead(const job::Job& job) {
  return std::max(kLeastSendAhead, ByteCount(2 * largest_message(job).value()));
}

std::uint32_t count_stages(const RunOptions& options) {
  check_meeting(options);
  if (!options.ticket_file.empty()) return options.stages;
  return static_cast<std::uint32_t>(stage_endpoints(options).size());
}

std::unique_ptr<net::Mesh> open_mesh(const RunOptions& options, std::uint32_t stages,
                                     const job::Job& job, const JobData* data, Log& log,
                                     const Clock& clock) {
  const bool meets = !options.ticket_file.empty();
  net::MeshOptions mesh;
  mesh.self = StageIndex(options.stage);
  mesh.introduction = {.run = "",
                       .job_hash = job::job_hash(job),
                       .stage_count = stages,
                       .data_fingerprint = data ? data->fingerprint() : "",
                       .terms = terms_of(job, data),
                       .explain = explain_terms};
  meets ? meet_peers(mesh, options) : name_peers(mesh, options);
  mesh.message_limit = std::max(mesh.message_limit, largest_message(job));
  mesh.queue_limit = std::max(mesh.queue_limit, ByteCount(4 * mesh.message_limit.value()));
  mesh.low_water = send_ahead(job);
  if (options.up_rate_bytes_per_s > 0) {
    mesh.up_rate_bytes_per_s = ByteCount(options.up_rate_bytes_per_s);
  }
  mesh.connections = static_cast<std::uint8_t>(options.connections);
  mesh.connect_timeout = in_seconds(options.peer_timeout_s);
  double reconnect_s = meets ? kMeetingReconnectTimeoutSeconds : kReconnectTimeoutSeconds;
  if (options.reconnect_timeout_s > 0) reconnect_s = options.reconnect_timeout_s;
  mesh.reconnect_timeout = in_seconds(reconnect_s);
  mesh.outage_timeout = std::max(mesh.reconnect_timeout, in_seconds(options.outage_timeout_s));
  const bool listens = mesh.listen.has_value();
  auto opened = std::make_unique<net::Mesh>(std::move(mesh), log, clock);
  // A stage that listens nowhere is ready all the same.
  const std::string elsewhere = meets ? "meeting" : "dialling";
  cli::EventOutput(log).ready(listens ? net::to_string(net::as_dialled(opened->listening()))
                                      : elsewhere);
  return opened;
}

}  // namespace ptrain::stage
