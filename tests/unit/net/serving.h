// Nodes for tests: one that serves whoever its rules let in, and one that seeks servers.

#pragma once

#include <memory>
#include <string>
#include <utility>

#include "libcommon/net/guest_admission.h"
#include "libcommon/net/node.h"

namespace ptrain::net {

inline constexpr StageIndex kServerPlace{0};
inline constexpr StageIndex kClientPlace{1};

inline NodeOptions serving_options(const Introduction& introduction,
                                   const std::string& listen = "tcp://127.0.0.1:0") {
  NodeOptions options;
  options.introduction = introduction;
  options.self = kServerPlace;
  options.counterpart = kClientPlace;
  options.listen = parse_endpoint(listen);
  options.credit_window = ByteCount(4u << 20);
  options.low_water = ByteCount(4u << 20);
  return options;
}

inline NodeOptions seeking_options(const Introduction& introduction) {
  NodeOptions options;
  options.introduction = introduction;
  options.self = kClientPlace;
  options.appear_timeout = std::chrono::seconds(30);
  return options;
}

class ServingNode : public Node {
 public:
  ServingNode(NodeOptions options, GuestRules rules, Log& log, const Clock& clock)
      : Node(options, std::make_unique<GuestAdmission>(rules_of(options, std::move(rules))), log,
             clock) {
    start();
  }
  bool send(const WorkerId& to, wire::Message message) {
    const wire::Urgency urgency = wire::urgency_of(message.name.kind);
    return Node::send(to, urgency, std::move(message));
  }

 private:
  static GuestRules rules_of(const NodeOptions& options, GuestRules rules) {
    rules.introduction = options.introduction;
    return rules;
  }
};

class SeekingNode : public Node {
 public:
  SeekingNode(NodeOptions options, Log& log, const Clock& clock)
      : Node(std::move(options), nullptr, log, clock) {
    start();
  }
  WorkerId dial(const Endpoint& server) {
    const WorkerId id = WorkerId::at(server);
    seek(id, server, kServerPlace, zmq_address(server));
    return id;
  }
  bool send(const WorkerId& to, wire::Message message) {
    const wire::Urgency urgency = wire::urgency_of(message.name.kind);
    return Node::send(to, urgency, std::move(message));
  }
};

}  // namespace ptrain::net
