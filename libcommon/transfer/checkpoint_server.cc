#include "libcommon/transfer/checkpoint_server.h"

#include <algorithm>
#include <memory>
#include <utility>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/net/guest_admission.h"

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

// The places of the hello; the other one is the fetcher's.
constexpr StageIndex kHolderPlace{0};
constexpr StageIndex kFetcherPlace{1};
constexpr ByteCount kRequestWindow{4u << 20};

net::NodeOptions node_options(const ServeOptions& options) {
  return {.introduction = introduction(),
          .self = kHolderPlace,
          .counterpart = kFetcherPlace,
          .key = options.key,
          .listen = options.listen,
          .credit_window = kRequestWindow,
          .message_limit = ByteCount(kMaxRequestBytes),
          .low_water = ByteCount(kClientQueueBytes)};
}

std::unique_ptr<net::Company> admission_for(const ServeOptions& options) {
  if (options.max_clients == 0 || options.max_clients > net::kMostGuests) {
    throw Error(ErrorKind::usage, fmt::format("{} clients at most, 1 to {} allowed",
                                              options.max_clients, net::kMostGuests));
  }
  return std::make_unique<net::GuestAdmission>(
      net::GuestRules{.introduction = introduction(),
                      .admitted = options.admitted,
                      .max_guests = options.max_clients,
                      .admitting_option = "--admit",
                      .busy_answer = busy_answer(options.alternatives),
                      .member_roles = options.meeting ? std::string(kFetcherRoles) : ""});
}

}  // namespace

CheckpointServer::CheckpointServer(ServeOptions options, os::Storage& storage, Log& log,
                                   const Clock& clock)
    : options_(std::move(options)),
      clock_(clock),
      shelf_(storage, options_.directory, clock),
      rate_(options_.rate_bytes_per_s, clock.now()),
      node_(node_options(options_), admission_for(options_), log, clock) {
  if (options_.meeting) node_.meet(*options_.meeting, draw_role(kHolderRoles));
  node_.start();
}

void CheckpointServer::run(const std::function<bool()>& stop) {
  while (!stop()) {
    if (auto event = node_.next(patience())) take(std::move(*event));
    for (int i = 0; i < kEventsPerRound; ++i) {
      auto event = node_.next(Duration::zero());
      if (!event) break;
      take(std::move(*event));
    }
    answer_round();
    charge_repetitions();
    send_away_idle();
  }
  node_.close(kGoodbye);
  for (const auto& [peer, client] : clients_) {
    options_.observer(
        {.kind = ClientReport::Kind::left, .why = "the holder ended", .sent_bytes = client.sent});
  }
}

// How long there is nothing to do unless something happens.
Duration CheckpointServer::patience() const {
  Duration patience = kStopQuestionInterval;
  for (const auto& [peer, client] : clients_) {
    if (client.pending.empty() || node_.queued(peer).value() > kClientQueueBytes) continue;
    const TimePoint ready = std::max({rate_.ready_at(), read_again_, client.again});
    patience = std::min(patience, std::max(Duration::zero(), ready - clock_.now()));
  }
  return patience;
}

void CheckpointServer::take(net::NodeEvent event) {
  if (const auto* up = std::get_if<net::Up>(&event)) {
    clients_[up->peer].last_moved = clock_.now();
    options_.observer({.kind = ClientReport::Kind::joined});
  } else if (auto* delivery = std::get_if<net::Delivery>(&event)) {
    take(std::move(*delivery));
  } else if (const auto* down = std::get_if<net::Down>(&event)) {
    const auto client = clients_.find(down->peer);
    if (client == clients_.end()) return;
    options_.observer({.kind = ClientReport::Kind::left,
                       .why = down->error ? down->error->what() : "",
                       .sent_bytes = client->second.sent});
    clients_.erase(client);
  }
}

void CheckpointServer::take(net::Delivery delivery) {
  const auto found = clients_.find(delivery.from);
  if (found == clients_.end()) return;
  Client& client = found->second;
  auto request = read_request(delivery.message);
  if (const auto* malformed = std::get_if<wire::Malformed>(&request)) {
    return node_.dismiss(delivery.from, malformed->why);
  }
  if (client.pending.size() >= kMaxRequestsInFlight) {
    return node_.dismiss(delivery.from,
                         fmt::format("more than {} requests at once", kMaxRequestsInFlight));
  }
  client.pending.push_back(
      {delivery.message.name.step.value(), std::get<Request>(std::move(request))});
  client.last_moved = clock_.now();
}

// One request of each client; false when there was none that may be answered now.
bool CheckpointServer::answer_round() {
  bool answered = false;
  // The rate may suffice for one: the next one's turn is first.
  auto turn = clients_.upper_bound(served_last_);
  for (std::size_t i = 0; i < clients_.size(); ++i, ++turn) {
    if (turn == clients_.end()) turn = clients_.begin();
    auto& [peer, client] = *turn;
    if (client.pending.empty() || !rate_.ready(clock_.now())) continue;
    if (node_.queued(peer).value() > kClientQueueBytes ||
        clock_.now() < std::max(read_again_, client.again)) {
      continue;
    }
    try {
      if (!answer(peer, client)) {
        client.again = clock_.now() + kBetterMoment;
        continue;
      }
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::try_again) throw;
      read_again_ = clock_.now() + kBetterMoment;  // the request stays
      break;
    }
    client.pending.pop_front();
    served_last_ = peer;
    answered = true;
  }
  return answered;
}

bool CheckpointServer::answer(const net::WorkerId& peer, Client& client) {
  const Client::Pending& pending = client.pending.front();
  if (std::holds_alternative<ListRequest>(pending.request)) {
    client.last_moved = clock_.now();
    node_.send(peer, wire::Urgency::control, answer_message(pending.number, shelf_.list()));
    return true;
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
    client.last_moved = clock_.now();
    node_.send(peer, wire::Urgency::control, answer_message(pending.number, std::move(*refusal)));
    return true;
  }
  wire::Buffer bytes = std::get<wire::Buffer>(std::move(piece));
  const ByteCount size(bytes.size());
  if (!node_.send(peer, wire::Urgency::pipeline, bytes_message(pending.number, std::move(bytes)))) {
    const auto status = node_.status(peer);
    return !status || status->lost();  // or too much waits for all together
  }
  client.last_moved = clock_.now();
  client.sent = ByteCount(client.sent.value() + size.value());
  rate_.spend(size, clock_.now());
  return true;
}

// What a client has sent again counts as well: it could ask for that without end.
void CheckpointServer::charge_repetitions() {
  if (!options_.rate_bytes_per_s) return;
  for (auto& [peer, client] : clients_) {
    const std::uint64_t carried = node_.traffic(peer).bulk.tx_payload.value();
    const std::uint64_t owed = client.sent.value() + client.charged.value();
    if (carried <= owed) continue;
    rate_.spend(ByteCount(carried - owed), clock_.now());
    client.charged = ByteCount(client.charged.value() + carried - owed);
  }
}

void CheckpointServer::send_away_idle() {
  const bool full = clients_.size() >= options_.max_clients;
  const Duration most = full ? kMaxIdleWhenFull : kMaxIdle;
  for (const auto& [peer, client] : clients_) {
    const Duration idle = clock_.now() - client.last_moved;
    if (idle < most) continue;
    node_.dismiss(peer, fmt::format("it has asked for nothing, or taken nothing, for {:.0f} s{}",
                                    seconds(idle), full ? ", and others want its place" : ""));
  }
}

}  // namespace ptrain::transfer
