// What requests take from the budget of whoever makes them (rate_limits.h): one that checks a
// signature, writes to another peer or to the disk takes more. Pure.

#pragma once

#include <variant>

#include "libcommon/net/relay_protocol.h"

namespace ptrain::relay {

inline constexpr double kCheapCost = 1;
inline constexpr double kRegisterCost = 5;
inline constexpr double kIntroduceCost = 5;
inline constexpr double kLookUpCost = 3;
inline constexpr double kForwardCost = 5;
inline constexpr double kClaimCost = 5;

struct CostOf {
  double operator()(const net::request::Register&) const { return kRegisterCost; }
  double operator()(const net::request::Introduce&) const { return kIntroduceCost; }
  double operator()(const net::request::LookUp&) const { return kLookUpCost; }
  double operator()(const net::request::Claim&) const { return kClaimCost; }
  double operator()(const net::request::Forward&) const { return kForwardCost; }
  double operator()(const net::request::Revoke&) const { return kRegisterCost; }
  double operator()(const auto&) const { return kCheapCost; }
};

inline double cost_of(const net::Request& request) { return std::visit(CostOf{}, request.body); }

}  // namespace ptrain::relay
