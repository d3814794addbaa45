// Gives checkpoints of one folder to whoever may ask for them: the holder's side.
//
// One thread answers, one request of each client in turn, as the clients' queues and the
// rate allow. A client costs what its queue may hold and its unanswered requests; one that
// breaks the protocol, asks for too much at once, or asks for nothing for long is sent
// away with the reason.

#pragma once

#include <deque>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "libcommon/base/clock.h"
#include "libcommon/base/log.h"
#include "libcommon/base/rate_limit.h"
#include "libcommon/base/units.h"
#include "libcommon/net/node.h"
#include "libcommon/os/storage.h"
#include "libcommon/transfer/protocol.h"
#include "libcommon/transfer/shelf.h"

namespace ptrain::transfer {

// A client's queue is filled up again when it has fallen to this: 1 Gbit/s over 130 ms.
inline constexpr std::uint64_t kClientQueueBytes = 16u << 20;
// A client that has asked for nothing, or taken nothing, for so long leaves its place to others.
inline constexpr Duration kMaxIdle = std::chrono::minutes(10);
inline constexpr Duration kMaxIdleWhenFull =
    std::chrono::seconds(30);  // while all places are taken
// Where this host has no descriptor left for a file.
inline constexpr Duration kBetterMoment = std::chrono::milliseconds(200);
inline constexpr std::size_t kDefaultClients = 8;
// Other holders that a refused client is told of.
inline constexpr std::size_t kMaxAlternatives = 8;

struct ClientReport {
  enum class Kind { joined, left } kind = Kind::joined;
  std::string why{};       // why it left, where it did not say goodbye
  ByteCount sent_bytes{};  // of files, when it left
};

struct ServeOptions {
  std::filesystem::path directory;
  std::optional<net::Endpoint> listen;
  std::optional<net::Meeting> meeting{};  // with who fetches in a run; needs the key
  std::optional<net::KeyPair> key;
  std::optional<std::set<net::PublicKey>> admitted;  // besides them; none: whoever comes
  std::size_t max_clients = kDefaultClients;
  std::vector<net::Endpoint> alternatives;    // for those who are refused
  std::optional<ByteCount> rate_bytes_per_s;  // of all clients together
  std::function<void(const ClientReport&)> observer = [](const ClientReport&) {};
};

class CheckpointServer {
 public:
  // Binds. Throws as net::Node does. `storage` outlives the object.
  CheckpointServer(ServeOptions options, os::Storage& storage, Log& log, const Clock& clock);

  // Precondition: it listens somewhere.
  net::Endpoint listening() const { return node_.listening(); }
  // Answers until `stop` says so (asked every 100 ms), then says goodbye.
  void run(const std::function<bool()>& stop);

 private:
  struct Client {
    struct Pending {
      std::uint64_t number;
      Request request;
    };
    std::deque<Pending> pending;
    TimePoint last_moved;  // when it last asked, or had room for an answer
    TimePoint again{};     // not before, where too much waits for all together
    ByteCount sent;
    ByteCount charged;  // of what it had sent again
  };

  void take(net::NodeEvent event);
  void take(net::Delivery delivery);
  bool answer_round();
  // False where it has to wait.
  bool answer(const net::WorkerId& peer, Client& client);
  void send_away_idle();
  void charge_repetitions();
  Duration patience() const;

  ServeOptions options_;
  const Clock& clock_;
  Shelf shelf_;
  RateLimit rate_;
  net::Node node_;
  std::map<net::WorkerId, Client> clients_;
  net::WorkerId served_last_{};
  TimePoint read_again_{};  // no file before
};

}  // namespace ptrain::transfer
