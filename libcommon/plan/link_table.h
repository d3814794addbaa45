// The links between all hosts, as a planner asks for them: what a links file says, and an estimate
// for what it does not say (ptrain-plan(5), LINKS). A value; it borrows nothing.

#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "libcommon/plan/links_file.h"

namespace ptrain::plan {

// A round trip of which nothing at all is known: a long one between homes.
inline constexpr double kUnknownRoundTripS = 0.1;

struct Way {
  bool possible = true;
  bool estimated = false;
  double round_trip_s = 0;
  double rate_bytes_per_s = 0;
};

struct HostRates {
  double out_bytes_per_s = 0;
  double in_bytes_per_s = 0;
  bool estimated = false;
};

class LinkTable {
 public:
  // Throws Error(corrupt) where the rate of no host can be told.
  explicit LinkTable(const Links& links);

  std::size_t hosts() const { return names_.size(); }
  std::optional<std::size_t> find(const std::string& name) const;
  const HostRates& rates(std::size_t host) const { return rates_[host]; }
  // From one host to another one.
  Way way(std::size_t from, std::size_t to) const;

 private:
  struct Known {
    std::optional<double> round_trip_s;
    std::optional<double> rate_bytes_per_s;
    bool failed = false;
  };
  using Ways = std::unordered_map<std::uint64_t, Known>;

  static std::uint64_t key(std::size_t from, std::size_t to) {
    return (static_cast<std::uint64_t>(from) << 32) | to;
  }
  static const Known* find(const Ways& ways, std::size_t from, std::size_t to);

  void estimate_rates(const Links& links);
  void estimate_round_trips(const Links& links);

  std::vector<std::string> names_;
  std::unordered_map<std::string, std::size_t> index_;
  std::vector<std::size_t> site_;           // of each host
  std::vector<bool> has_pairs_;             // of each host: most have none where there are many
  std::vector<HostRates> rates_;            // of each host
  std::vector<double> usual_round_trip_s_;  // of each host; 0: not known
  Ways pairs_;
  Ways sites_;
};

}  // namespace ptrain::plan
