#include "tools/relay/carrier/peer_ledger.h"

namespace ptrain::relay {

PeerLedger::Account* PeerLedger::open(const net::PublicKey& key, const SourceAddress& source,
                                      TimePoint now) {
  if (connections_ >= limits_.connections) return nullptr;
  if (per_source_.counted(source) >= limits_.connections_per_source) return nullptr;
  const std::lock_guard lock(mutex_);
  auto found = accounts_.find(key);
  if (found == accounts_.end()) {
    found = accounts_.emplace(key, std::make_unique<Account>(key, limits_, now)).first;
    ++idle_;
  }
  Account& account = *found->second;
  if (account.connections_ >= limits_.connections_per_peer) return nullptr;
  if (account.connections_++ == 0) --idle_;
  ++connections_;
  per_source_.add(source);
  return &account;
}

std::optional<SourceAddress> PeerLedger::gives_way_to(const SourceAddress& newcomer) const {
  if (connections_ < limits_.connections) return std::nullopt;
  return per_source_.gives_way_to(newcomer);
}

void PeerLedger::close(Account& account, const SourceAddress& source) {
  const std::lock_guard lock(mutex_);
  --connections_;
  per_source_.remove(source);
  if (--account.connections_ > 0) return;
  if (idle_ < limits_.idle_accounts) {
    ++idle_;
  } else {
    const net::PublicKey key = account.key_;
    accounts_.erase(key);
  }
}

std::optional<PeerTraffic> PeerLedger::of(const net::PublicKey& key) const {
  const std::lock_guard lock(mutex_);
  const auto found = accounts_.find(key);
  if (found == accounts_.end()) return std::nullopt;
  const Account& account = *found->second;
  return PeerTraffic{account.key_, account.connections_, ByteCount(account.sent_)};
}

std::vector<PeerTraffic> PeerLedger::all() const {
  const std::lock_guard lock(mutex_);
  std::vector<PeerTraffic> all;
  for (const auto& [key, account] : accounts_) {
    all.push_back({key, account->connections_, ByteCount(account->sent_)});
  }
  return all;
}

}  // namespace ptrain::relay
