// The listener of a server: peers that it has not heard of before, within bounds. Pure.
//
// A guest is a key and an incarnation. Each has one session, whatever connections it
// makes; one that was forgotten is not let in again, since its session's frames are gone,
// but told so. Guests beyond the bounds are refused with a text that says where else to go; so
// is whoever claims another place than a guest's, before it has taken one. Keys are free, so
// seats are counted by address as well.

#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "libcommon/net/company.h"
#include "libcommon/net/introduction.h"

namespace ptrain::net {

// Sessions of one key at a time: a host may run a few clients, and not take every place.
inline constexpr std::size_t kMaxGuestsOfOneKey = 4;

// Of a host's seats, those that one address may have: the half, so that two must be at it to take
// all.
constexpr std::size_t seats_of_one_address(std::size_t seats) { return (seats + 1) / 2; }
// Sessions at a time, whatever the rules say.
inline constexpr std::size_t kMostGuests = 1024;
// Keys of members that are remembered while relays have them, and the roles of each: a ticket's
// holder may register any number.
inline constexpr std::size_t kMostMembers = 4096;
inline constexpr std::size_t kMostRolesOfOneKey = 16;

struct GuestRules {
  Introduction introduction;
  StageIndex place{1};                          // that a guest has in its hello
  std::optional<std::set<PublicKey>> admitted;  // none: any key
  std::size_t max_guests = 16;
  std::string admitting_option{};  // of the server, before a key that it is to let in; may be empty
  std::string busy_answer{};       // after "it serves N clients already"; may be empty
  // Members of a run are guests, too, whose role begins so; with their keys. Empty: there is no
  // run.
  std::string member_roles{};
};

class GuestAdmission final : public Company {
 public:
  explicit GuestAdmission(GuestRules rules) : rules_(std::move(rules)) {}

  bool admits(const PublicKey& key) const override;
  std::string remedy_for(const PublicKey& key) const override;
  Verdict judge(const Caller& caller) override;
  void admit_no_more() override { ending_ = true; }
  void left(PeerHandle peer) override;
  WorkerId id_of(PeerHandle peer) const override;

  std::optional<Tie> tie_to(std::string_view role) override;
  std::set<std::string> sought_roles() const override { return {}; }
  std::vector<PeerHandle> awaited() const override { return {}; }
  bool admit(std::string_view role, const PublicKey& key) override;
  bool has_key(std::string_view role, const PublicKey& key) const override;
  bool departed(std::string_view role, const PublicKey& key) override;
  std::vector<PeerHandle> bar(const PublicKey& key) override;

 private:
  using Guest = std::pair<std::string, std::uint64_t>;  // key, incarnation
  struct Seat {
    PeerHandle handle;
    std::string address;
  };
  std::optional<Rejection> bound_reached(const Caller& caller) const;

  GuestRules rules_;
  // That relays told of, with their roles.
  std::map<PublicKey, std::set<std::string, std::less<>>> members_;
  std::set<PublicKey> barred_;
  std::map<Guest, Seat> guests_;
  std::uint64_t handles_ = 0;
  bool ending_ = false;
};

}  // namespace ptrain::net
