// What each peer has at the data port: connections, bytes, and its share of the rate. A peer
// is its public key, whatever its roles and runs, so that nobody has a larger quota by
// registering more often; and since keys are free, connections are counted by where they come from,
// too. The data port writes, any thread may read.

#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "libcommon/base/clock.h"
#include "libcommon/base/rate_limit.h"
#include "libcommon/base/units.h"
#include "libcommon/net/relay_protocol.h"
#include "tools/relay/carrier/source_address.h"
#include "tools/relay/control/fair_share.h"

namespace ptrain::relay {

struct PeerTraffic {
  net::PublicKey peer_key{};
  std::size_t connections = 0;
  ByteCount sent;  // by the peer, through this relay, since the relay first saw it
  auto operator<=>(const PeerTraffic&) const = default;
};

struct PeerLedgerLimits {
  std::size_t connections = 4096;  // waiting or joined
  std::size_t connections_per_peer = 256;
  std::size_t connections_per_source = 2048;
  std::size_t idle_accounts = 16384;  // of peers without a connection, kept for their figures
  std::optional<ByteCount> bytes_per_s_per_peer{};
};

class PeerLedger {
 public:
  explicit PeerLedger(PeerLedgerLimits limits) : limits_(limits) {}

  // A peer's, while it has a connection; for the data port's thread.
  class Account {
   public:
    Account(net::PublicKey key, const PeerLedgerLimits& limits, TimePoint now)
        : key_(key), rate_(limits.bytes_per_s_per_peer, now) {}
    bool may_send(TimePoint now) const { return rate_.ready(now); }
    TimePoint may_send_at() const { return rate_.ready_at(); }
    void sent(std::size_t bytes, TimePoint now) {
      sent_ += bytes;
      rate_.spend(ByteCount(bytes), now);
    }

   private:
    friend class PeerLedger;
    net::PublicKey key_;
    RateLimit rate_;
    std::atomic<std::size_t> connections_ = 0;
    std::atomic<std::uint64_t> sent_ = 0;
  };

  // Counts one more connection; nullptr when the peer, its source, or everybody together has too
  // many.
  Account* open(const net::PublicKey& key, const SourceAddress& source, TimePoint now);
  void close(Account& account, const SourceAddress& source);
  // When everybody together has too many: from where one has to go so that one from `newcomer`
  // fits.
  std::optional<SourceAddress> gives_way_to(const SourceAddress& newcomer) const;

  std::size_t connections() const { return connections_; }
  std::optional<PeerTraffic> of(const net::PublicKey& key) const;
  std::vector<PeerTraffic> all() const;

 private:
  PeerLedgerLimits limits_;
  std::atomic<std::size_t> connections_ = 0;
  mutable std::mutex mutex_;  // of the table, not of the accounts
  std::map<net::PublicKey, std::unique_ptr<Account>> accounts_;
  FairShare<SourceAddress> per_source_;  // the data port's thread only
  std::size_t idle_ = 0;
};

}  // namespace ptrain::relay
