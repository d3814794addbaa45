// How a link reaches its peer, as a value: directly, punched through NATs, or relayed.
//
// A peer may be reached over several routes at once, and over each by several links.
// Numbers within a kind (the how-manieth relay) are each side's own.

#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace ptrain::net {

// Better ones come first.
enum class RouteKind : std::uint8_t { direct, punched, relayed };
inline constexpr std::size_t kRouteKinds = 3;

constexpr std::string_view name_of(RouteKind kind) {
  switch (kind) {
    case RouteKind::direct:
      return "direct";
    case RouteKind::punched:
      return "punched";
    case RouteKind::relayed:
      return "relayed";
  }
  return "?";
}

struct Route {
  RouteKind kind = RouteKind::direct;
  std::uint16_t number = 0;
  auto operator<=>(const Route&) const = default;
};

// "relayed", "relayed 1": the first of its kind needs no number.
inline std::string name_of(Route route) {
  std::string name(name_of(route.kind));
  return route.number == 0 ? name : name + " " + std::to_string(route.number);
}

// Which kinds may carry data.
class RouteKinds {
 public:
  static constexpr RouteKinds all() { return RouteKinds((1u << kRouteKinds) - 1); }
  static constexpr RouteKinds only(RouteKind kind) { return RouteKinds(bit(kind)); }
  constexpr RouteKinds with(RouteKind kind) const { return RouteKinds(bits_ | bit(kind)); }
  constexpr bool contains(RouteKind kind) const { return (bits_ & bit(kind)) != 0; }
  constexpr bool operator==(const RouteKinds&) const = default;

 private:
  static constexpr unsigned bit(RouteKind kind) { return 1u << static_cast<unsigned>(kind); }
  constexpr explicit RouteKinds(unsigned bits) : bits_(bits) {}
  unsigned bits_;
};

}  // namespace ptrain::net
