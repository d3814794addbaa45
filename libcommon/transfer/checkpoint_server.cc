#include "libcommon/transfer/checkpoint_server.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "libcommon/base/error.h"

namespace ptrain::transfer {
namespace {

constexpr Duration kStopQuestionInterval = std::chrono::milliseconds(100);
constexpr int kEventsPerRound = 256;  // then the answers have their turn
// For what was sent last to arrive when the server ends.
constexpr Duration kGoodbye = std::chrono::seconds(2);

std::string busy_answer(const std::vector<net::Endpoint>& alternatives) {
  if (alternatives.size() > kMaxAlternatives) {
    throw Error(ErrorKind::usage, fmt::format("{} other holders to name, at most {} allowed",
                                              alternatives.size(), kMaxAlternatives));
  }
  if (alternatives.empty()) return "; try again later";
  std::string text = "; try again later, or at";
  for (const net::Endpoint& endpoint : alternatives) text += " " + to_string(endpoint);
  return text;
}

net::ServerOptions server_options(const ServeOptions& options) {
  return {.listen = options.listen,
          .key = options.key,
          .guests = {.introduction = introduction(),
                     .admitted = options.admitted,
                     .max_guests = options.max_clients,
                     .busy_answer = busy_answer(options.alternatives)},
          .message_limit = ByteCount(kMaxRequestBytes),
          .low_water = ByteCount(kClientQueueBytes)};
}

}  // namespace

CheckpointServer::CheckpointServer(ServeOptions options, os::Storage& storage, Log& log,
                                   const Clock& clock)
    : options_(std::move(options)),
      clock_(clock),
      shelf_(storage, options_.directory, clock),
      rate_(options_.rate_bytes_per_s, clock.now()),
      server_(server_options(options_), log, clock) {}

void CheckpointServer::run(const std::function<bool()>& stop) {
  while (!stop()) {
    if (auto event = server_.receive(patience())) take(std::move(*event));
    for (int i = 0; i < kEventsPerRound; ++i) {
      auto event = server_.receive(Duration::zero());
      if (!event) break;
      take(std::move(*event));
    }
    answer_round();
    send_away_idle();
  }
  server_.close(kGoodbye);
  for (const auto& [peer, client] : clients_) {
    options_.observer(
        {.kind = ClientReport::Kind::left, .why = "the holder ended", .sent_bytes = client.sent});
  }
}

// How long there is nothing to do unless something happens.
Duration CheckpointServer::patience() const {
  Duration patience = kStopQuestionInterval;
  for (const auto& [peer, client] : clients_) {
    if (client.pending.empty() || server_.queued(peer).value() > kClientQueueBytes) continue;
    patience = std::min(patience, std::max(Duration::zero(), rate_.ready_at() - clock_.now()));
  }
  return patience;
}

void CheckpointServer::take(net::PeerEvent event) {
  if (const auto* joined = std::get_if<net::PeerJoined>(&event)) {
    clients_[joined->peer].last_moved = clock_.now();
    options_.observer({.kind = ClientReport::Kind::joined});
  } else if (auto* message = std::get_if<net::PeerMessage>(&event)) {
    take(std::move(*message));
  } else if (const auto* lost = std::get_if<net::PeerLost>(&event)) {
    const auto client = clients_.find(lost->peer);
    if (client == clients_.end()) return;
    options_.observer({.kind = ClientReport::Kind::left,
                       .why = lost->failure ? lost->failure->what() : "",
                       .sent_bytes = client->second.sent});
    clients_.erase(client);
  }
}

void CheckpointServer::take(net::PeerMessage message) {
  const auto found = clients_.find(message.from);
  if (found == clients_.end()) return;
  Client& client = found->second;
  auto request = read_request(message.message);
  if (const auto* malformed = std::get_if<wire::Malformed>(&request)) {
    return server_.dismiss(message.from, malformed->why);
  }
  if (client.pending.size() >= kMaxRequestsInFlight) {
    return server_.dismiss(message.from,
                           fmt::format("more than {} requests at once", kMaxRequestsInFlight));
  }
  client.pending.push_back(
      {message.message.name.step.value(), std::get<Request>(std::move(request))});
  client.last_moved = clock_.now();
}

// One request of each client; false when there was none that may be answered now.
bool CheckpointServer::answer_round() {
  bool answered = false;
  for (auto& [peer, client] : clients_) {
    if (client.pending.empty() || !rate_.ready(clock_.now())) continue;
    if (server_.queued(peer).value() > kClientQueueBytes) continue;
    answer(peer, client);
    answered = true;
  }
  return answered;
}

void CheckpointServer::answer(net::PeerHandle peer, Client& client) {
  const Client::Pending pending = std::move(client.pending.front());
  client.pending.pop_front();
  client.last_moved = clock_.now();
  if (std::holds_alternative<ListRequest>(pending.request)) {
    server_.send(peer, answer_message(pending.number, shelf_.list()));
    return;
  }
  struct Fetch {
    Shelf& shelf;
    Shelf::Piece operator()(const ListRequest&) { return Refusal{}; }
    Shelf::Piece operator()(const ManifestRequest& r) { return shelf.manifest(r.id); }
    Shelf::Piece operator()(const RecordRequest& r) { return shelf.record(r.id, r.stage); }
    Shelf::Piece operator()(const ChunkRequest& r) { return shelf.chunk(r); }
  };
  Shelf::Piece piece = std::visit(Fetch{shelf_}, pending.request);
  if (auto* refusal = std::get_if<Refusal>(&piece)) {
    server_.send(peer, answer_message(pending.number, std::move(*refusal)));
    return;
  }
  wire::Buffer bytes = std::get<wire::Buffer>(std::move(piece));
  const ByteCount size(bytes.size());
  if (!server_.send(peer, bytes_message(pending.number, std::move(bytes)))) return;
  client.sent = ByteCount(client.sent.value() + size.value());
  rate_.spend(size, clock_.now());
}

void CheckpointServer::send_away_idle() {
  for (const auto& [peer, client] : clients_) {
    if (clock_.now() - client.last_moved < kMaxIdle) continue;
    server_.dismiss(peer, "it has asked for nothing, or taken nothing, for 10 minutes");
  }
}

}  // namespace ptrain::transfer
