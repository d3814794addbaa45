// In which order a relay's own registrations have changed, so that a neighbour that mirrors them
// is told what it has missed, and no more.
//
// Each member is there once, with its latest change; of those that are gone the latest
// kMaxGoneKept, and whoever has missed more begins anew. Pure. One thread.

#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>

#include "tools/relay/member.h"

namespace ptrain::relay {

inline constexpr std::size_t kMaxGoneKept = 65536;

class Journal {
 public:
  struct Entry {
    Member member;
    bool gone = false;
  };
  using Entries = std::map<std::uint64_t, Entry>;  // by the number of the change

  // Numbers begin above `first`, which is not smaller than those of an earlier process.
  explicit Journal(std::uint64_t first, std::size_t max_gone = kMaxGoneKept);

  void came(const Member& member);  // or says another thing of itself
  void went(const Member& member);

  // Whether everything after change `since` is known here.
  bool covers(std::uint64_t since) const { return since >= floor_ && since <= latest_; }
  Entries::const_iterator after(std::uint64_t since) const { return entries_.upper_bound(since); }
  Entries::const_iterator end() const { return entries_.end(); }
  std::uint64_t latest() const { return latest_; }

 private:
  void enter(const Member& member, bool gone);

  std::size_t max_gone_;
  std::uint64_t floor_;
  std::uint64_t latest_;
  Entries entries_;
  std::map<Member, std::uint64_t> numbers_;
  std::set<std::uint64_t> gone_;
};

}  // namespace ptrain::relay
