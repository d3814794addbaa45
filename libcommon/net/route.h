// How a path reaches its peer, as a value: directly, punched through NATs, or relayed.
//
// A peer may be reached over several routes at once, and over each by one path a
// channel. Numbers within a kind (the how-manieth relay) are each side's own.

#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace ptrain::net {

// Better ones come first.
enum class PathKind : std::uint8_t { direct, punched, relayed };
inline constexpr std::size_t kPathKinds = 3;

constexpr std::string_view name_of(PathKind kind) {
  switch (kind) {
    case PathKind::direct:
      return "direct";
    case PathKind::punched:
      return "punched";
    case PathKind::relayed:
      return "relayed";
  }
  return "?";
}

struct Route {
  PathKind kind = PathKind::direct;
  std::uint16_t number = 0;
  auto operator<=>(const Route&) const = default;
};

// "relayed", "relayed 1": the first of its kind needs no number.
inline std::string name_of(Route route) {
  std::string name(name_of(route.kind));
  return route.number == 0 ? name : name + " " + std::to_string(route.number);
}

// Which kinds may carry data.
class PathKinds {
 public:
  static constexpr PathKinds all() { return PathKinds((1u << kPathKinds) - 1); }
  static constexpr PathKinds only(PathKind kind) { return PathKinds(bit(kind)); }
  constexpr PathKinds with(PathKind kind) const { return PathKinds(bits_ | bit(kind)); }
  constexpr bool contains(PathKind kind) const { return (bits_ & bit(kind)) != 0; }
  constexpr bool operator==(const PathKinds&) const = default;

 private:
  static constexpr unsigned bit(PathKind kind) { return 1u << static_cast<unsigned>(kind); }
  constexpr explicit PathKinds(unsigned bits) : bits_(bits) {}
  unsigned bits_;
};

}  // namespace ptrain::net
