// The company of an asker that looks for servers of probes among the members of a run: they are
// dialled when a relay tells of them, and nobody comes in.

#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "libcommon/net/company.h"
#include "libcommon/net/worker_id.h"

namespace ptrain::probe {

class SoughtServers final : public net::Company {
 public:
  // Their roles; those with a key: only the host that has it.
  explicit SoughtServers(std::map<std::string, std::optional<net::PublicKey>> roles);

  bool admits(const net::PublicKey&) const override { return false; }
  net::Verdict judge(const net::Caller&) override { return net::Rejection{"nobody comes here"}; }
  void left(net::PeerHandle) override {}
  net::WorkerId id_of(net::PeerHandle peer) const override;

  std::optional<net::Tie> tie_to(std::string_view role) override;
  std::set<std::string> sought_roles() const override;
  std::vector<net::PeerHandle> awaited() const override;
  bool admit(std::string_view role, const net::PublicKey& key) override;
  bool has_key(std::string_view role, const net::PublicKey& key) const override;
  std::vector<net::PeerHandle> bar(const net::PublicKey& key) override {
    barred_.insert(key);
    return {};
  }

 private:
  struct Sought {
    net::PeerHandle handle;
    std::optional<net::PublicKey> key;
  };
  std::map<std::string, Sought, std::less<>> sought_;
  std::set<net::PublicKey> barred_;
};

}  // namespace ptrain::probe
