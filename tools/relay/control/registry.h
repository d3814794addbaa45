// Who is registered at this relay: the members of each run, with leases, and a version that
// counts a run's changes so that a watcher notices when it has missed one.
//
// Pure: no socket, clock or file; the time comes with each call. What is asked of it has been
// checked already: that a record is signed by its run and sent by the key it names. One thread.

#pragma once

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

namespace ptrain::relay {

// A connection to the control port, in the words of its socket; empty: none.
using ConnectionId = std::string;

struct Registration {
  net::SignedRecord record;
  std::uint64_t sequence = 0;
  TimePoint registered{};
  TimePoint expires{};
  ConnectionId connection;  // where it spoke last; none after a restart of the relay
  bool watching = false;
  std::string host;  // where the relay sees it
  std::string note;  // what it says of its paths
};

inline constexpr Duration kDefaultLease = std::chrono::seconds(30);
inline constexpr std::size_t kDefaultMembers = 16384;
inline constexpr std::size_t kDefaultMembersPerHost = 1024;
inline constexpr std::size_t kMaxPlacesPerKey = 64;

struct RegistryLimits {
  Duration lease = kDefaultLease;
  std::size_t members = kDefaultMembers;                  // of all runs
  std::size_t members_per_host = kDefaultMembersPerHost;  // seen at one address
  bool operator==(const RegistryLimits&) const = default;
};

struct Departure {
  VerifyKey run_key{};
  net::Place who;
  std::uint64_t version = 0;  // of the run, now
  bool operator==(const Departure&) const = default;
};

struct Enrolment {
  bool changed = false;  // new, or another record than before: watchers want to know
  std::uint64_t version = 0;
};

struct Page {
  std::vector<net::SignedRecord> records;
  bool complete = true;
  std::uint64_t version = 0;
};

class Registry {
 public:
  // Versions begin at `first_version`, which is larger than those of an earlier process.
  Registry(RegistryLimits limits, std::uint64_t first_version)
      : limits_(limits), highest_version_(first_version) {}

  // `opened` is what `record` says. Refused as outdated when a larger sequence holds the place,
  // or the same one with another record; as full when there is no room.
  std::variant<Enrolment, net::Refusal> enrol(const net::PeerRecord& opened,
                                              const net::SignedRecord& record,
                                              const ConnectionId& connection,
                                              const std::string& host, TimePoint now);
  // Back from the state file: without a connection, and with what is left of its lease.
  void restore(const net::PeerRecord& opened, const net::SignedRecord& record,
               const std::string& host, TimePoint expires, TimePoint now);

  // nullptr: not registered. Valid until the next change.
  const Registration* find(const VerifyKey& run_key, const net::Place& who) const;
  // Whether that key is registered at all, in whatever run.
  bool knows(const net::PublicKey& key) const { return per_key_.contains(key); }
  std::uint64_t version(const VerifyKey& run_key) const;  // 0: no such run

  // These do nothing for who is not registered.
  void renew(const VerifyKey& run_key, const net::Place& who, const std::string& note,
             TimePoint now);
  void heard(const VerifyKey& run_key, const net::Place& who, const ConnectionId& from);
  void watch(const VerifyKey& run_key, const net::Place& who, bool on);
  std::optional<Departure> remove(const VerifyKey& run_key, const net::Place& who);
  // Nothing can be sent there any more.
  void forget(const ConnectionId& connection);

  // Those whose lease is over, and they are gone.
  std::vector<Departure> expire(TimePoint now);
  std::optional<TimePoint> next_expiry() const;

  // Members after `after`, of one role or (empty) of all, of at most `max_bytes` in total,
  // unless a single one is larger.
  Page page(const VerifyKey& run_key, const std::string& role, const net::Place& after,
            std::size_t max_bytes) const;

  using Visit = std::function<void(const VerifyKey&, const net::Place&, const Registration&)>;
  void for_each(const Visit& visit) const;
  void for_each_of(const VerifyKey& run_key, const Visit& visit) const;

  const RegistryLimits& limits() const { return limits_; }
  std::size_t members() const { return members_; }
  std::size_t runs() const { return runs_.size(); }
  std::uint64_t highest_version() const { return highest_version_; }
  // Rises whenever something changes that a restart should not forget.
  std::uint64_t changes() const { return changes_; }

 private:
  struct Run {
    std::map<net::Place, Registration> members;
    std::uint64_t version = 0;
  };
  using Lease = std::tuple<TimePoint, VerifyKey, net::Place>;

  Registration* find_mutable(const VerifyKey& run_key, const net::Place& who);
  bool has_room(const net::Place& who, const std::string& host) const;
  Registration& insert(const VerifyKey& run_key, const net::Place& who, const std::string& host);
  void set_expiry(const VerifyKey& run_key, const net::Place& who, Registration& member,
                  TimePoint expires);
  std::uint64_t bump(Run& run);

  RegistryLimits limits_;
  std::map<VerifyKey, Run> runs_;
  std::set<Lease> leases_;
  std::map<std::string, std::size_t> per_host_;
  std::map<net::PublicKey, std::size_t> per_key_;
  std::size_t members_ = 0;
  std::uint64_t highest_version_;
  std::uint64_t changes_ = 0;
};

}  // namespace ptrain::relay
