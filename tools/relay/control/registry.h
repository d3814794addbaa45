// Who is registered at this relay, and at its neighbours: the members of each run, and a version
// that counts the changes of what its members see, so that a watcher notices when it has missed
// one. Those that are here have leases; a neighbour's are there for as long as it says so.
//
// What is seen of a member is what it said here, or else the newest of what neighbours hold: so
// no neighbour can set aside whoever is here. A neighbour that has fallen silent is not believed
// any more, and what it held is kept for its return, unseen.
//
// No address can take the places of others: when there is no room, whoever has more than an equal
// share gives way (fair_share.h). Whom a run's issuer has revoked is in no table, and stays so.
//
// Pure: no socket, clock or file; the time comes with each call. What is asked of it has been
// checked already: that a record is signed by its run, and sent by the key it names or by a
// neighbour, and that a revocation is signed. One thread.

#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <variant>
#include <vector>

#include "libcommon/base/clock.h"
#include "libcommon/net/relay_protocol.h"
#include "tools/relay/control/claims.h"
#include "tools/relay/control/fair_share.h"
#include "tools/relay/control/journal.h"

namespace ptrain::relay {

// A connection to the control port, in the words of its socket; empty: none.
using ConnectionId = std::string;

struct Registration {
  net::SignedRecord record;
  std::uint64_t sequence = 0;
  TimePoint registered{};
  TimePoint expires{};
  ConnectionId connection;  // where it spoke last; none after a restart of the relay
  bool cut_off = false;     // that connection was seen to end, and it has no other
  bool watching = false;
  std::string host;  // where the relay sees it
  std::string note;  // what it says of its paths
};

inline constexpr Duration kDefaultLease = std::chrono::seconds(30);
inline constexpr std::size_t kDefaultMembers = 16384;
inline constexpr std::size_t kDefaultMembersPerHost = 1024;
inline constexpr std::size_t kMaxPlacesPerKey = 64;
// Of one run, and of all; then those of a run without members here are forgotten.
inline constexpr std::size_t kMaxRevocationsOfRun = 64;
inline constexpr std::size_t kMaxRevocations = 16384;

struct RegistryLimits {
  Duration lease = kDefaultLease;
  std::size_t members = kDefaultMembers;                  // of all runs
  std::size_t members_per_host = kDefaultMembersPerHost;  // seen at one address (quota_address.h)
  bool operator==(const RegistryLimits&) const = default;
};

// What the members of a run see of one place: another record than before, or that it is gone.
struct Change {
  VerifyKey run_key{};
  net::Place who;
  std::uint64_t version = 0;                // of the run, now
  std::optional<net::SignedRecord> record;  // none: gone
  bool operator==(const Change&) const = default;
};

// Who is no longer here, or no longer at a neighbour.
struct Departure {
  VerifyKey run_key{};
  net::Place who;
  bool elsewhere = false;  // and still at another relay, as far as is known
  std::optional<Change> change{};
  std::string host{};  // where it was seen; empty where it was at a neighbour
  bool operator==(const Departure&) const = default;
};

struct Enrolment {
  bool changed = false;  // new here, or another record than before
  std::uint64_t version = 0;
  std::optional<Change> change{};
  std::optional<Departure> displaced{};  // who gave way
};

// A member as a neighbour has it.
struct Reflection {
  net::SignedRecord record;
  std::uint64_t sequence = 0;
};
using Reflections = std::map<net::PublicKey, Reflection>;  // by neighbour

struct Page {
  std::vector<net::SignedRecord> records;
  bool complete = true;
  std::uint64_t version = 0;
};

class Registry {
 public:
  // Versions begin at `first_version`, which is larger than those of an earlier process.
  Registry(RegistryLimits limits, std::uint64_t first_version)
      : limits_(limits), highest_version_(first_version), journal_(first_version) {}

  // `opened` is what `record` says. Refused as revoked; as outdated when a larger sequence holds
  // the place, or the same one with another record; as full when there is no room.
  std::variant<Enrolment, net::Refusal> enrol(const net::PeerRecord& opened,
                                              const net::SignedRecord& record,
                                              const ConnectionId& connection,
                                              const std::string& host, TimePoint now);
  // Back from the state file: without a connection, and with what is left of its lease.
  void restore(const net::PeerRecord& opened, const net::SignedRecord& record,
               const std::string& host, TimePoint expires, TimePoint now);

  // That peer is not of that run any more, here or elsewhere. Nothing changes when that is known,
  // or there is no room to know it: false then.
  bool revoke(const net::Revocation& revocation, std::vector<Departure>& departures);
  bool is_revoked(const VerifyKey& run_key, const net::PublicKey& peer) const;
  void for_each_revocation(const std::function<void(const net::Revocation&)>& visit) const;

  // What that neighbour says of a member of its own; of the same place, in place of what it said.
  std::optional<Change> mirror(const net::PublicKey& neighbour, const net::PeerRecord& opened,
                               const net::SignedRecord& record);
  // It is not there any more; nullopt when it was not.
  std::optional<Departure> unmirror(const net::PublicKey& neighbour, const VerifyKey& run_key,
                                    const net::Place& who);
  // Whether that neighbour is believed.
  std::vector<Change> set_silent(const net::PublicKey& neighbour, bool silent);

  // nullptr: not registered here. Valid until the next change.
  const Registration* find(const VerifyKey& run_key, const net::Place& who) const;
  // What is seen of it; nullptr: nothing. Valid until the next change.
  const net::SignedRecord* record_of(const VerifyKey& run_key, const net::Place& who) const;
  // Who has it, silent ones included.
  std::vector<net::PublicKey> neighbours_with(const VerifyKey& run_key,
                                              const net::Place& who) const;
  // Whether it is here or at any neighbour, silent ones included.
  bool is_anywhere(const VerifyKey& run_key, const net::Place& who) const;
  // Whether that key is registered here at all, in whatever run.
  bool knows(const net::PublicKey& key) const { return per_key_.contains(key); }
  std::uint64_t version(const VerifyKey& run_key) const;  // 0: no such run

  // These do nothing for who is not registered.
  void renew(const VerifyKey& run_key, const net::Place& who, const std::string& note,
             TimePoint now);
  void heard(const VerifyKey& run_key, const net::Place& who, const ConnectionId& from);
  void watch(const VerifyKey& run_key, const net::Place& who, bool on);
  std::optional<Departure> remove(const VerifyKey& run_key, const net::Place& who);
  // Nothing can be sent there any more.
  void forget(const std::set<ConnectionId>& connections);

  // Those whose lease is over, and they are gone.
  std::vector<Departure> expire(TimePoint now);
  std::optional<TimePoint> next_expiry() const;

  // Members after `after`, of one role or (empty) of all, of at most `max_bytes` in total,
  // unless a single one is larger.
  Page page(const VerifyKey& run_key, const std::string& role, const net::Place& after,
            std::size_t max_bytes) const;
  bool has_changes_since(std::uint64_t change) const { return change != journal_.latest(); }
  // For a neighbour: what has changed among those that are here.
  net::answer::Mirrored changes_since(const net::request::Mirror& asked,
                                      std::size_t max_bytes) const;

  using Visit = std::function<void(const VerifyKey&, const net::Place&, const Registration&)>;
  void for_each(const Visit& visit) const;
  void for_each_of(const VerifyKey& run_key, const Visit& visit) const;
  // Those that are at neighbours and not here.
  using VisitFar = std::function<void(const VerifyKey&, const net::Place&, const Reflections&)>;
  void for_each_elsewhere(const VisitFar& visit) const;

  const RegistryLimits& limits() const { return limits_; }
  std::size_t members() const { return members_; }          // here
  std::size_t reflections() const { return reflections_; }  // of all neighbours together
  std::size_t runs() const { return runs_.size(); }
  // Of versions and of what changes_since() counts.
  std::uint64_t highest_version() const { return std::max(highest_version_, journal_.latest()); }
  // Rises whenever something changes that a restart should not forget.
  std::uint64_t changes() const { return changes_ + claims_.changes(); }

  // Of the members that are here; who goes holds none.
  Claims& claims() { return claims_; }
  const Claims& claims() const { return claims_; }

 private:
  struct Run {
    std::map<net::Place, Registration> members;
    std::map<net::Place, Reflections> elsewhere;  // may be here as well; never empty
    std::uint64_t version = 0;
  };
  using Lease = std::tuple<TimePoint, VerifyKey, net::Place>;

  // The places of one address, and of each key there.
  using PlacesAt = std::map<net::PublicKey, std::set<Member>>;

  Registration* find_mutable(const VerifyKey& run_key, const net::Place& who);
  // Whether there is room, or who can give way.
  struct Room {
    bool found = false;
    std::optional<Member> in_place_of{};
  };
  Room room_for(const net::Place& who, const std::string& host) const;
  // Of those at an address, one that has no connection, or the latest of the key with the most.
  std::optional<Member> least_missed(const std::string& address, const net::PublicKey& newcomer,
                                     bool at_any_price) const;
  void count(const VerifyKey& run_key, const net::Place& who, const std::string& host);
  void uncount(const VerifyKey& run_key, const net::Place& who, const std::string& host);
  bool has_room_for_revocation(const VerifyKey& run_key);
  const Signature* revocation_of(const VerifyKey& run_key, const net::PublicKey& peer) const;
  Registration& insert(const VerifyKey& run_key, const net::Place& who, const std::string& host);
  void set_expiry(const VerifyKey& run_key, const net::Place& who, Registration& member,
                  TimePoint expires);
  std::uint64_t bump(Run& run);
  const net::SignedRecord* seen(const Run& run, const net::Place& who) const;
  const net::SignedRecord* newest(const Reflections& reflections) const;
  // What `edit` changes in what is seen of that place; an empty run goes with it.
  template <class Edit>
  std::optional<Change> observe(const VerifyKey& run_key, const net::Place& who, Edit edit);

  RegistryLimits limits_;
  std::map<VerifyKey, Run> runs_;
  std::set<Lease> leases_;
  FairShare<> per_address_;
  std::map<std::string, PlacesAt> at_address_;
  std::map<net::PublicKey, std::size_t> per_key_;
  std::map<VerifyKey, std::map<net::PublicKey, Signature>> revoked_;
  std::size_t revocations_ = 0;
  std::size_t members_ = 0;
  std::uint64_t highest_version_;
  std::uint64_t changes_ = 0;
  std::size_t reflections_ = 0;
  std::set<net::PublicKey> silent_;
  Journal journal_;
  Claims claims_;
};

}  // namespace ptrain::relay
