// The listener of a server: peers that it has not heard of before, within bounds. Pure.
//
// A guest is a key and an incarnation. Each has one session, whatever connections it
// makes; one that was forgotten is not let in again, since its session's frames are gone,
// but told so. Guests beyond the bounds are refused with a text that says where else to go.

#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "libcommon/net/admission.h"
#include "libcommon/net/introduction.h"

namespace ptrain::net {

// Sessions of one key at a time: a host may run a few clients, and not take every place.
inline constexpr std::size_t kMaxGuestsOfOneKey = 4;

struct GuestRules {
  Introduction introduction;
  std::optional<std::set<PublicKey>> admitted;  // none: any key
  std::size_t max_guests = 16;
  std::string busy_answer{};  // after "it serves N clients already"; may be empty
};

class GuestAdmission final : public Admission {
 public:
  explicit GuestAdmission(GuestRules rules) : rules_(std::move(rules)) {}

  bool admits(const PublicKey& key) const override;
  Verdict judge(const Caller& caller) override;
  void admit_no_more() override { ending_ = true; }
  void left(PeerHandle peer) override;

 private:
  using Guest = std::pair<std::string, std::uint64_t>;  // key, incarnation
  std::optional<Rejection> bound_reached(const Caller& caller) const;

  GuestRules rules_;
  std::map<Guest, PeerHandle> guests_;
  std::uint64_t handles_ = 0;
  bool ending_ = false;
};

}  // namespace ptrain::net
