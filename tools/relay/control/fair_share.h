// Who gives way when a table that strangers share is full: the address that holds most of it, if
// that is more than the newcomer would hold. So no address can take from another what it has, as
// long as that is no more than an equal share; and with N addresses each has at least the N-th
// part.
//
// Counts for each address, and in the order of the counts. Pure. One thread.

#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

namespace ptrain::relay {

template <class Address = std::string>
class FairShare {
 public:
  void add(const Address& address) { change(address, counted(address) + 1); }
  void remove(const Address& address) { change(address, counted(address) - 1); }

  std::size_t counted(const Address& address) const {
    const auto found = counts_.find(address);
    return found == counts_.end() ? 0 : found->second;
  }
  std::size_t addresses() const { return counts_.size(); }

  // Which address has to give something up so that `newcomer` gets one more; nullopt: none holds
  // more than it would.
  std::optional<Address> gives_way_to(const Address& newcomer) const {
    if (by_count_.empty()) return std::nullopt;
    const auto& [most, address] = *by_count_.rbegin();
    return most > counted(newcomer) + 1 ? std::optional(address) : std::nullopt;
  }
  // The one that holds most.
  std::optional<Address> largest() const {
    return by_count_.empty() ? std::nullopt : std::optional(by_count_.rbegin()->second);
  }

 private:
  void change(const Address& address, std::size_t count) {
    if (const auto found = counts_.find(address); found != counts_.end()) {
      by_count_.erase({found->second, address});
      counts_.erase(found);
    }
    if (count == 0) return;
    counts_.emplace(address, count);
    by_count_.emplace(count, address);
  }

  std::map<Address, std::size_t> counts_;
  std::set<std::pair<std::size_t, Address>> by_count_;
};

}  // namespace ptrain::relay
