// The links between hosts as they were measured, and the file that says so (ptrain-plan(5), LINKS):
// what ptrain-probe matrix writes and the planner reads. Values; reading and writing are pure.
//
// What was not measured is not there: links.h says what stands in for it.

#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ptrain::plan {

inline constexpr std::size_t kMaxLinksFileBytes = std::size_t{256} << 20;
inline constexpr std::size_t kMaxNameChars = 128;  // of a host or a site

// How much a file may hold.
struct LinksLimits {
  std::size_t hosts = std::size_t{1} << 14;
  std::size_t site_pairs = std::size_t{1} << 18;
  std::size_t pairs = std::size_t{1} << 20;
};

// Rates count bytes a second, times seconds since 1970.
struct LinkedHost {
  std::string name{};
  std::string site{};  // the name, where the file says none: alone in its place
  std::optional<double> out_bytes_per_s{};  // what it sends to all others together, at most
  std::optional<double> in_bytes_per_s{};   // what it gets from all others together, at most
  std::string failed{};                     // why it could not be measured; empty: it could
  double time_s = 0;
};

// One way between two hosts, or two sites (which may be one site: what two hosts in it have).
struct MeasuredWay {
  std::string from{};
  std::string to{};
  std::optional<double> round_trip_s{};
  std::optional<double> rate_bytes_per_s{};
  std::string failed{};  // why it could not be measured; empty: it could
  double time_s = 0;
};

struct Links {
  double time_s = 0;  // when the measuring ended
  std::vector<LinkedHost> hosts{};
  std::vector<MeasuredWay> sites{};
  std::vector<MeasuredWay> pairs{};
};

// 1 to kMaxNameChars letters, digits, '.', '_' and '-'.
bool is_host_name(std::string_view text);

// `where` names the source in errors. Throws Error(corrupt) that names the entry, the key and the
// value for what is not as ptrain-plan(5) says: a name that is none, or is given twice, or is not
// among the hosts or the sites; a way from a host to itself; a number that is not above 0; a time
// after the file's own; an unknown key; more than `limits`.
Links read_links(std::string_view json, const std::string& where, const LinksLimits& limits = {});

// The text of the file, with an end of line: read_links() gives the same again.
std::string write_links(const Links& links);

}  // namespace ptrain::plan
