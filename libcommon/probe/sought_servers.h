// The company of an asker that looks for one server of probes among the members of a run: it is
// dialled when a relay tells of it, and nobody comes in.

#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "libcommon/net/company.h"

namespace ptrain::probe {

class SoughtServer final : public net::Company {
 public:
  // With a key: only the host that has it.
  SoughtServer(std::string role, std::optional<net::PublicKey> key);

  bool admits(const net::PublicKey&) const override { return false; }
  net::Verdict judge(const net::Caller&) override { return net::Rejection{"nobody comes here"}; }
  void left(net::PeerHandle) override {}
  std::string name_of(net::PeerHandle) const override { return role_; }

  std::optional<net::Tie> tie_to(std::string_view role) override;
  std::set<std::string> sought_roles() const override { return {role_}; }
  std::vector<net::PeerHandle> awaited() const override { return {kHandle}; }
  bool admit(std::string_view role, const net::PublicKey& key) override;
  bool has_key(std::string_view role, const net::PublicKey& key) const override;
  void bar(const net::PublicKey& key) override { barred_.insert(key); }

 private:
  static constexpr net::PeerHandle kHandle{1};

  std::string role_;
  std::optional<net::PublicKey> key_;
  std::set<net::PublicKey> barred_;
};

}  // namespace ptrain::probe
