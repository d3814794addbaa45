// The mappings of some ports for one family of addresses: a keeper (mapping_keeper.h) with the
// services of the gateways that there are now, in an event loop. When the default routes change,
// the services are found anew.
//
// One thread, the loop's; loop and key outlive the object. `changed` is called when the keeper's
// state may be another; it may not end the object.

#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "libcommon/base/log.h"
#include "libcommon/portmap/gateway_services.h"
#include "tools/punch/announcements.h"
#include "tools/punch/mapping_keeper.h"

namespace ptrain::punch {

// How soon another network is noticed.
inline constexpr Duration kRouteInterval = std::chrono::seconds(5);

class FamilyMappings {
 public:
  using Family = Announcements::Family;
  FamilyMappings(os::Loop& loop, Log& log, Family family, std::vector<Port> ports,
                 std::chrono::seconds lease, const net::KeyPair& key,
                 std::function<void()> changed);
  FamilyMappings(const FamilyMappings&) = delete;
  FamilyMappings& operator=(const FamilyMappings&) = delete;

  const MappingKeeper& keeper() const { return keeper_; }
  bool has_gateways() const { return services_->size() > 0; }
  std::string service_name() const;  // that grants them; empty where none does
  std::string gateway_name() const;

  void finish();

 private:
  std::vector<Gateway> gateways_now() const;
  void look_at_routes();
  void reach_gateways(std::vector<Gateway> gateways);
  void turn();
  void pump();

  os::Loop& loop_;
  Log& log_;
  Family family_;
  const net::KeyPair& key_;
  std::function<void()> changed_;
  MappingKeeper keeper_;
  std::vector<Gateway> gateways_;
  std::unique_ptr<GatewayServices> services_;
  Announcements announcements_;
  std::unique_ptr<os::Loop::Timer> timer_;
  std::unique_ptr<os::Loop::Timer> route_timer_;
};

}  // namespace ptrain::punch
