// What an operator may want to know of, as it happens. A value.

#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "libcommon/net/relay_protocol.h"

namespace ptrain::relay {

struct RelayEvent {
  enum class Kind {
    registered,
    left,
    expired,
    revoked,
    displaced,
    introduced,
    refused,
    neighbour_came,
    neighbour_went
  };
  Kind kind;
  VerifyKey run_key{};
  net::Place who;             // a neighbour: its key
  net::Place other{};         // introduced
  std::string host{};         // registered, refused; a neighbour's host and port
  std::string_view reason{};  // refused
  std::string remedy{};       // and what the operator can do, if anything

  RelayEvent(Kind what, const VerifyKey& run, net::Place whom)
      : kind(what), run_key(run), who(std::move(whom)) {}
};
std::string_view name_of(RelayEvent::Kind kind);

}  // namespace ptrain::relay
