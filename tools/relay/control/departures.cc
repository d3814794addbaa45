#include "tools/relay/control/departures.h"

#include <utility>

#include "tools/relay/control/quota_address.h"

namespace ptrain::relay {

void Departures::note(Departed departed) {
  came_back(departed.who);
  const auto of_address = of_address_.find(quota_address(departed.host));
  if (of_address != of_address_.end() && of_address->second.size() >= kMaxDeparturesOfAddress) {
    forget(*of_address->second.begin());
  } else if (departed_.size() >= kMaxDepartures) {
    forget(departed_.begin()->first);
  }
  const std::uint64_t number = ++numbers_;
  number_of_[departed.who] = number;
  of_address_[quota_address(departed.host)].insert(number);
  departed_.emplace(number, std::move(departed));
}

void Departures::came_back(const Member& who) {
  const auto known = number_of_.find(who);
  if (known != number_of_.end()) forget(known->second);
}

void Departures::forget(std::uint64_t number) {
  const auto gone = departed_.extract(number);
  number_of_.erase(gone.mapped().who);
  const auto of_address = of_address_.find(quota_address(gone.mapped().host));
  of_address->second.erase(number);
  if (of_address->second.empty()) of_address_.erase(of_address);
}

void Departures::for_each(net::WallTime now,
                          const std::function<void(const Departed&)>& visit) const {
  for (auto each = departed_.rbegin(); each != departed_.rend(); ++each) {
    if (now - each->second.when < kKeepDepartures) visit(each->second);
  }
}

}  // namespace ptrain::relay
