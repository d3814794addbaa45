// The relays that this one gossips with: a link to each that the operator has named.
//
// Both sides must name each other. Each tells of the members that are registered with itself,
// never of what it has heard from others, so that nothing goes round in circles: relays that are
// to know of each other's members are all each other's neighbours. The relay's thread only.

#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <zmq.hpp>

#include "libcommon/base/clock.h"
#include "libcommon/base/log.h"
#include "libcommon/net/keys.h"
#include "tools/relay/control/access_rules.h"
#include "tools/relay/control/registry.h"
#include "tools/relay/control/survey.h"
#include "tools/relay/neighbours/neighbour_link.h"

namespace ptrain::relay {

struct NeighbourhoodOptions {
  net::KeyPair key;  // the relay's own
  // When one begins to tell of its members, and when it no longer does.
  std::function<void(const NeighbourState&)> observer = [](const NeighbourState&) {};
};

class Neighbourhood {
 public:
  // All references outlive the object. `rules` name the neighbours.
  Neighbourhood(NeighbourhoodOptions options, Registry& registry, const AccessRules& rules,
                Log& log, TimePoint now);

  void add_poll_items(std::vector<net::PollItem>& items);
  MirrorNews process(TimePoint now);
  // The rules have changed: neighbours come and go, and members that they do not allow are gone.
  MirrorNews apply_rules(TimePoint now);
  // Hands it to that neighbour; false: it cannot be told now.
  bool forward(const net::PublicKey& neighbour, std::uint64_t id, net::request::Forward body);

  std::vector<NeighbourState> states() const;
  std::size_t connected() const;

 private:
  struct Neighbour {
    std::unique_ptr<NeighbourLink> link;
    bool was_following = false;
    std::string reported{};  // the trouble that was last logged
    std::uint64_t reported_forged = 0;
    bool reported_left_out = false;
  };
  void meet(TimePoint now);
  void report(Neighbour& neighbour);

  NeighbourhoodOptions options_;
  Registry& registry_;
  const AccessRules& rules_;
  Log& log_;
  zmq::context_t context_;
  std::map<net::PublicKey, Neighbour> neighbours_;
};

}  // namespace ptrain::relay
