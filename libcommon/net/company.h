// Whom a member of a run has business with, of all that its relays know: the stages of a job, the
// holders of checkpoints, those who fetch them. An admission whose keys become known while it
// lives, from the records that members have signed. Network thread only.

#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "libcommon/net/admission.h"
#include "libcommon/net/endpoint.h"
#include "libcommon/net/peer_handle.h"

namespace ptrain::net {

// What a member is to us.
struct Tie {
  bool we_dial = false;
  // None of one that comes to us, and that the admission will know by its key.
  std::optional<PeerHandle> peer{};
};

class Company : public Admission {
 public:
  // nullopt: we have no business with that role.
  virtual std::optional<Tie> tie_to(std::string_view role) = 0;
  // Those that we dial: who dials asks for the introduction. "holder-*" is all that begin so.
  virtual std::set<std::string> sought_roles() const = 0;
  // Who is to be told of why nobody can come.
  virtual std::vector<PeerHandle> awaited() const = 0;

  // That key claims the role. False where another one has it: connections with that one go on.
  virtual bool admit(std::string_view role, const PublicKey& key) = 0;
  virtual bool has_key(std::string_view role, const PublicKey& key) const = 0;
  // No relay has it any more. True where nothing is to be remembered of it: who comes back is met
  // anew.
  virtual bool departed(std::string_view /*role*/, const PublicKey&) { return false; }
  // Nobody with that key is let in any more. Whose connections end: those that came to us, too.
  virtual std::vector<PeerHandle> bar(const PublicKey& key) = 0;
  // We have a connection with it.
  virtual void met(PeerHandle) {}

  // For people.
  virtual std::string called(std::string_view role) const { return std::string(role); }
};

}  // namespace ptrain::net
