// Members of sums as peers of a node: who is which, and how messages reach them. Borrows the node.

#pragma once

#include <optional>
#include <utility>
#include <vector>

#include "libcommon/lanes/carrier.h"
#include "libcommon/net/node.h"
#include "libcommon/net/worker_id.h"

namespace ptrain::lanes {

class NodeCarrier final : public Carrier {
 public:
  // The members of every plan, in its order; our own place is there, too, and never sent to.
  NodeCarrier(net::Node& node, std::vector<net::WorkerId> members)
      : node_(node), members_(std::move(members)) {}

  bool send(reduce::MemberIndex to, wire::Message message) override;
  // nullopt: it is none of them.
  std::optional<reduce::MemberIndex> member_of(const net::WorkerId& peer) const;

 private:
  net::Node& node_;
  const std::vector<net::WorkerId> members_;
};

}  // namespace ptrain::lanes
