#include "tools/stage/stage_mesh.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <optional>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/ckpt/record.h"
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

void check_meeting(const RunOptions& options, const job::Job& job) {
  if (options.ticket_file.empty()) {
    const bool asked = options.stages != 0 || !options.cells_file.empty() || options.direct_only ||
                       options.relay_only || !options.announced.empty();
    if (!asked) return;
    throw Error(ErrorKind::usage,
                "--stages, --cells, --announce, --direct-only and --relay-only go with --ticket");
  }
  if (options.stages == 0 && options.cells_file.empty() && job.pipeline.stages == 0) {
    throw Error(
        ErrorKind::usage, "--ticket without --stages: how many stages has the job?",
        "add --stages N, the same for every stage, or pipeline.stages to the job; or --cells "
        "FILE, which says who holds what");
  }
}

// The processes of a job that was given no file: one a stage, the others at --peer.
std::vector<WorkerLine> workers_from_flags(const RunOptions& options, std::uint32_t self) {
  if (options.peers.empty() && options.listen.empty()) {
    if (self != 0) {
      throw Error(ErrorKind::usage,
                  fmt::format("--stage {}: without endpoints there is one stage, 0", self),
                  "name the other stages with --endpoints or --peer");
    }
    return {{.cells = {}, .endpoint = net::Endpoint{}}};
  }
  const bool last = self == options.peers.size();  // which dials all others
  if (options.listen.empty() && !last) {
    throw Error(ErrorKind::usage, "--peer without --listen: where do the peers find this stage?",
                "add --listen, for example --listen tcp://0.0.0.0:7000");
  }
  const net::Endpoint own =
      options.listen.empty() ? net::Endpoint{} : net::parse_endpoint(options.listen);
  std::vector<WorkerLine> workers;
  for (net::Endpoint& endpoint : endpoints_from_flags(options.peers, self, own)) {
    workers.push_back({.cells = {}, .endpoint = std::move(endpoint)});
  }
  return workers;
}

std::vector<WorkerLine> workers_of(const RunOptions& options, const job::Job& job,
                                   std::uint32_t stage) {
  if (!options.ticket_file.empty()) {
    if (options.cells_file.empty()) {
      return std::vector<WorkerLine>(
          options.stages != 0 ? options.stages : static_cast<std::size_t>(job.pipeline.stages));
    }
    auto workers = read_workers(options.cells_file);
    if (!workers.front().endpoint && !workers.front().cells.empty()) return workers;
    throw Error(ErrorKind::usage,
                fmt::format("--cells {}: a line is the cells of one process, no endpoint",
                            options.cells_file),
                "for example 0,0 0,1");
  }
  if (options.endpoints_file.empty()) return workers_from_flags(options, stage);
  auto workers = read_workers(options.endpoints_file);
  if (workers.front().endpoint) return workers;
  throw Error(ErrorKind::usage,
              fmt::format("--endpoints {}: a line without an endpoint", options.endpoints_file),
              "where relays know the endpoints, it is --cells");
}

// Who holds what where it was not said: a process each stage, in all lanes.
job::Layout one_a_stage(std::size_t stages, const job::Job& job) {
  const job::CellGrid grid{.stages = static_cast<std::uint32_t>(stages),
                           .lanes = static_cast<std::uint32_t>(job.lanes.count)};
  std::vector<std::vector<job::CellIndex>> workers(stages);
  for (const job::CellIndex& cell : grid.cells()) workers[cell.stage.value()].push_back(cell);
  return {grid, workers};
}

job::Layout layout_of(const std::vector<WorkerLine>& lines, const job::Job& job) {
  if (lines.front().cells.empty()) return one_a_stage(lines.size(), job);
  std::uint32_t stages = 0;
  std::vector<std::vector<job::CellIndex>> workers;
  for (const WorkerLine& line : lines) {
    for (const job::CellIndex& cell : line.cells) {
      stages = std::max(stages, cell.stage.value() + 1);
    }
    workers.push_back(line.cells);
  }
  if (stages > ckpt::kMaxStages) {
    throw Error(ErrorKind::usage,
                fmt::format("{} stages, at most {} allowed", stages, ckpt::kMaxStages));
  }
  return {{.stages = stages, .lanes = static_cast<std::uint32_t>(job.lanes.count)}, workers};
}

// The process that holds all the cells that were named.
WorkerIndex holder_of_all(const std::vector<job::CellIndex>& cells, const job::Layout& layout) {
  std::optional<WorkerIndex> self;
  for (const job::CellIndex& cell : cells) {
    if (!layout.grid().contains(cell)) {
      throw Error(ErrorKind::usage,
                  fmt::format("--cell {},{}: the job has {} stages and {} lanes, numbered from 0",
                              cell.stage.value(), cell.lane.value(), layout.grid().stages,
                              layout.grid().lanes));
    }
    const WorkerIndex holder = layout.holder_of(cell);
    if (!self) self = holder;
    if (self == holder) continue;
    throw Error(ErrorKind::usage,
                fmt::format("--cell {},{}: another process holds it than {}", cell.stage.value(),
                            cell.lane.value(), job::to_string(cells.front())),
                "the cells of one process stand on one line");
  }
  return *self;
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

StageIndex number_of(WorkerIndex worker) { return StageIndex(worker.value()); }

// Processes whose endpoints were named.
void name_peers(net::MeshOptions& mesh, const RunOptions& options, const Membership& member) {
  const auto& endpoints = member.endpoints;
  // Of two the higher one dials: nobody dials the last one, and it needs no port.
  const bool dialled = mesh.self.value() + 1 < endpoints.size();
  if (dialled) mesh.listen = endpoints[mesh.self.value()];
  bool local = !dialled || mesh.listen->is_local();
  for (const WorkerIndex peer : correspondents(member.place)) {
    mesh.peers.push_back({number_of(peer), endpoints[peer.value()]});
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

// Processes that meet through the relays of a ticket.
void meet_peers(net::MeshOptions& mesh, const RunOptions& options, const Place& place) {
  net::Ticket ticket = net::load_valid_ticket(options.ticket_file, net::wall_now());
  if (!options.listen.empty()) mesh.listen = net::parse_endpoint(options.listen);
  for (const WorkerIndex peer : correspondents(place)) {
    mesh.peers.push_back({.stage = number_of(peer)});
  }
  mesh.introduction.run = ticket.run_id().to_string();
  mesh.key = net::host_key(options.key_file);
  mesh.meeting = net::Meeting{.ticket = std::move(ticket),
                              .relayed = !options.direct_only,
                              .direct = !options.relay_only,
                              .announced = announced_endpoints(options),
                              .outside_file = net::outside_ports_file()};
}

}  // namespace

ByteCount send_ahead(const job::Job& job) {
  return std::max(kLeastSendAhead, ByteCount(2 * largest_message(job).value()));
}

Membership membership(const RunOptions& options, const job::Job& job) {
  check_meeting(options, job);
  std::vector<job::CellIndex> cells;
  for (const std::string& text : options.cells) cells.push_back(job::parse_cell(text));
  const std::uint32_t stage = cells.empty() ? options.stage : cells.front().stage.value();
  const std::vector<WorkerLine> workers = workers_of(options, job, stage);
  const job::Layout layout = layout_of(workers, job);
  if (job.pipeline.stages != 0 && job.pipeline.stages != layout.grid().stages) {
    throw Error(ErrorKind::usage,
                fmt::format("pipeline.stages = {} in the job, and {} stages here",
                            job.pipeline.stages, layout.grid().stages),
                "start as many, or leave pipeline.stages out");
  }
  const bool by_cells = !workers.front().cells.empty();
  if (by_cells && cells.empty()) {
    throw Error(ErrorKind::usage, "which process is this? The file says who holds which cells",
                "name one of its cells: --cell 0,0");
  }
  if (cells.empty() && stage >= workers.size()) {
    throw Error(ErrorKind::usage, fmt::format("--stage {}: there are {} stages, numbered from 0",
                                              stage, workers.size()));
  }
  const WorkerIndex self = cells.empty() ? WorkerIndex(stage) : holder_of_all(cells, layout);
  Membership member{.place = Place(self, layout), .endpoints = {}};
  if (!options.ticket_file.empty()) return member;
  for (const WorkerLine& worker : workers) member.endpoints.push_back(*worker.endpoint);
  if (!options.listen.empty()) {
    member.endpoints[self.value()] = net::parse_endpoint(options.listen);
  }
  return member;
}

std::unique_ptr<net::Mesh> open_mesh(const RunOptions& options, const Membership& member,
                                     const job::Job& job, const JobData* data, Log& log,
                                     const Clock& clock) {
  const bool meets = !options.ticket_file.empty();
  const job::Layout& layout = member.place.layout();
  net::MeshOptions mesh;
  mesh.self = number_of(member.place.self());
  mesh.introduction = {.run = "",
                       .job_hash = hash_of(job, layout),
                       .stage_count = layout.workers(),
                       .data_fingerprint = data ? data->fingerprint() : "",
                       .terms = terms_of(job, layout, data),
                       .explain = explain_terms};
  mesh.called = [layout](StageIndex number) { return layout.called(WorkerIndex(number.value())); };
  mesh.speaks_for = [place = member.place](StageIndex number, const wire::MessageName& name) {
    return place.has_source(name) && place.sender(name) == WorkerIndex(number.value());
  };
  meets ? meet_peers(mesh, options, member.place) : name_peers(mesh, options, member);
  mesh.message_limit = std::max(mesh.message_limit, largest_message(job));
  mesh.queue_limit = std::max(mesh.queue_limit, ByteCount(4 * mesh.message_limit.value()));
  mesh.queues_limit = std::max(mesh.queues_limit, ByteCount(2 * mesh.queue_limit.value()));
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
