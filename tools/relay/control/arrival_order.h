// Connections in the order in which they came: of each address, and who has most of them.
//
// Pure. One thread.

#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "tools/relay/carrier/source_address.h"
#include "tools/relay/control/fair_share.h"

namespace ptrain::relay {

class ArrivalOrder {
 public:
  // `number` grows from each connection to the next; `fd` is its socket.
  void add(const SourceAddress& address, std::uint64_t number, int fd) {
    all_.emplace(number, fd);
    of_address_[address].emplace(number, fd);
    shares_.add(address);
  }
  // Nothing, where it is not there.
  void remove(const SourceAddress& address, std::uint64_t number) {
    if (all_.erase(number) == 0) return;
    const auto numbers = of_address_.find(address);
    numbers->second.erase(number);
    if (numbers->second.empty()) of_address_.erase(numbers);
    shares_.remove(address);
  }

  bool has(std::uint64_t number) const { return all_.contains(number); }
  std::size_t size() const { return all_.size(); }
  std::size_t counted(const SourceAddress& address) const { return shares_.counted(address); }
  std::optional<SourceAddress> largest() const { return shares_.largest(); }
  // Precondition: that address has one.
  int oldest_of(const SourceAddress& address) const {
    return of_address_.at(address).begin()->second;
  }
  const std::map<std::uint64_t, int>& all() const { return all_; }
  std::vector<SourceAddress> addresses() const {
    std::vector<SourceAddress> addresses;
    for (const auto& [address, numbers] : of_address_) addresses.push_back(address);
    return addresses;
  }

 private:
  using Numbers = std::map<std::uint64_t, int>;
  Numbers all_;
  std::map<SourceAddress, Numbers> of_address_;
  FairShare<SourceAddress> shares_;
};

}  // namespace ptrain::relay
