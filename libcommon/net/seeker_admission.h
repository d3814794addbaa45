// The company of a client that takes whoever of a run can serve it: members whose role begins so
// are sought, and dialled as they become known; nobody comes in.

#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "libcommon/net/company.h"

namespace ptrain::net {

class SeekerAdmission final : public Company {
 public:
  // Their handles follow `before`, which others have. More than `most` are passed over.
  SeekerAdmission(std::string roles, PeerHandle before, std::size_t most);

  bool admits(const PublicKey&) const override { return false; }
  Verdict judge(const Caller&) override { return Rejection{"nobody comes here"}; }
  void left(PeerHandle) override {}
  WorkerId id_of(PeerHandle peer) const override;

  std::optional<Tie> tie_to(std::string_view role) override;
  std::set<std::string> sought_roles() const override { return {roles_ + "*"}; }
  std::vector<PeerHandle> awaited() const override { return {}; }
  bool admit(std::string_view role, const PublicKey& key) override;
  bool has_key(std::string_view role, const PublicKey& key) const override;
  std::vector<PeerHandle> bar(const PublicKey& key) override {
    barred_.insert(key);
    return {};
  }

 private:
  std::string roles_;
  PeerHandle before_;
  std::size_t most_;
  std::vector<std::string> found_;  // their roles; a handle is `before` and the place in here
  std::map<std::string, PublicKey, std::less<>> keys_;
  std::set<PublicKey> barred_;
};

}  // namespace ptrain::net
