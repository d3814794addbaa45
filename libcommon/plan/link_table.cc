#include "libcommon/plan/link_table.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "libcommon/base/error.h"
#include "libcommon/base/median.h"

namespace ptrain::plan {
namespace {

// The rates of one direction, of hosts of which some are known: what `pairs` say, else the best of
// the site, else the median of all.
void fill(std::vector<std::optional<double>>& rates, const std::vector<double>& best_of_pairs,
          const std::vector<std::size_t>& site) {
  for (std::size_t i = 0; i < rates.size(); ++i) {
    if (!rates[i] && best_of_pairs[i] > 0) rates[i] = best_of_pairs[i];
  }
  std::unordered_map<std::size_t, double> best_of_site;
  std::vector<double> known;
  for (std::size_t i = 0; i < rates.size(); ++i) {
    if (!rates[i]) continue;
    known.push_back(*rates[i]);
    best_of_site[site[i]] = std::max(best_of_site[site[i]], *rates[i]);
  }
  if (known.empty()) {
    throw Error(ErrorKind::corrupt, "the links say of no host how fast it sends or gets anything",
                "measure them with ptrain-probe matrix");
  }
  const double of_others = median(known);
  for (std::size_t i = 0; i < rates.size(); ++i) {
    if (rates[i]) continue;
    const auto found = best_of_site.find(site[i]);
    rates[i] = found == best_of_site.end() ? of_others : found->second;
  }
}

}  // namespace

LinkTable::LinkTable(const Links& links) {
  std::unordered_map<std::string, std::size_t> site_index;
  for (const LinkedHost& host : links.hosts) {
    index_.emplace(host.name, names_.size());
    names_.push_back(host.name);
    site_.push_back(site_index.emplace(host.site, site_index.size()).first->second);
  }
  has_pairs_.assign(names_.size(), false);
  const auto known = [](const MeasuredWay& way) {
    return Known{.round_trip_s = way.round_trip_s,
                 .rate_bytes_per_s = way.rate_bytes_per_s,
                 .failed = !way.failed.empty()};
  };
  for (const MeasuredWay& way : links.pairs) {
    const std::size_t from = index_.at(way.from);
    const std::size_t to = index_.at(way.to);
    has_pairs_[from] = has_pairs_[to] = true;
    pairs_.emplace(key(from, to), known(way));
  }
  for (const MeasuredWay& way : links.sites) {
    sites_.emplace(key(site_index.at(way.from), site_index.at(way.to)), known(way));
  }
  estimate_rates(links);
  estimate_round_trips(links);
}

void LinkTable::estimate_rates(const Links& links) {
  const std::size_t count = names_.size();
  std::vector<std::optional<double>> out(count);
  std::vector<std::optional<double>> in(count);
  std::vector<double> best_out(count, 0);
  std::vector<double> best_in(count, 0);
  for (std::size_t i = 0; i < count; ++i) {
    out[i] = links.hosts[i].out_bytes_per_s;
    in[i] = links.hosts[i].in_bytes_per_s;
  }
  const auto consider = [&](std::size_t from, std::size_t to, double rate) {
    best_out[from] = std::max(best_out[from], rate);
    best_in[to] = std::max(best_in[to], rate);
  };
  for (const auto& [ends, way] : pairs_) {
    if (way.rate_bytes_per_s) consider(ends >> 32, ends & 0xffffffff, *way.rate_bytes_per_s);
  }
  // What a site has with another one, each of its hosts has at least.
  std::unordered_map<std::size_t, double> site_out;
  std::unordered_map<std::size_t, double> site_in;
  for (const auto& [ends, way] : sites_) {
    if (!way.rate_bytes_per_s) continue;
    double& sends = site_out[ends >> 32];
    double& gets = site_in[ends & 0xffffffff];
    sends = std::max(sends, *way.rate_bytes_per_s);
    gets = std::max(gets, *way.rate_bytes_per_s);
  }
  for (std::size_t i = 0; i < count; ++i) {
    if (best_out[i] <= 0 && site_out.contains(site_[i])) best_out[i] = site_out[site_[i]];
    if (best_in[i] <= 0 && site_in.contains(site_[i])) best_in[i] = site_in[site_[i]];
  }
  fill(out, best_out, site_);
  fill(in, best_in, site_);
  for (std::size_t i = 0; i < count; ++i) {
    const LinkedHost& host = links.hosts[i];
    rates_.push_back({.out_bytes_per_s = *out[i],
                      .in_bytes_per_s = *in[i],
                      .estimated = !host.out_bytes_per_s || !host.in_bytes_per_s});
  }
}

void LinkTable::estimate_round_trips(const Links& links) {
  std::vector<std::vector<double>> of_host(names_.size());
  for (const MeasuredWay& way : links.pairs) {
    if (!way.round_trip_s) continue;
    of_host[index_.at(way.from)].push_back(*way.round_trip_s);
    of_host[index_.at(way.to)].push_back(*way.round_trip_s);
  }
  for (std::vector<double>& known : of_host) {
    usual_round_trip_s_.push_back(known.empty() ? 0 : median(std::move(known)));
  }
}

std::optional<std::size_t> LinkTable::find(const std::string& name) const {
  const auto found = index_.find(name);
  if (found == index_.end()) return std::nullopt;
  return found->second;
}

const LinkTable::Known* LinkTable::find(const Ways& ways, std::size_t from, std::size_t to) {
  const auto found = ways.find(key(from, to));
  return found == ways.end() ? nullptr : &found->second;
}

Way LinkTable::way(std::size_t from, std::size_t to) const {
  Way way;
  std::optional<double> round_trip_s;
  std::optional<double> rate;
  const auto consider = [&](const Known* ahead, const Known* back) {
    for (const Known* each : {ahead, back}) {
      if (each == nullptr) continue;
      if (each->failed) way.possible = false;
      if (!round_trip_s) round_trip_s = each->round_trip_s;
    }
    if (ahead != nullptr && !rate) rate = ahead->rate_bytes_per_s;
  };
  if (has_pairs_[from] && has_pairs_[to]) consider(find(pairs_, from, to), find(pairs_, to, from));
  if (!round_trip_s || !rate) {
    consider(find(sites_, site_[from], site_[to]), find(sites_, site_[to], site_[from]));
  }
  way.estimated = !round_trip_s || !rate;
  if (!round_trip_s) {
    const double usual_s = std::max(usual_round_trip_s_[from], usual_round_trip_s_[to]);
    round_trip_s = usual_s > 0 ? usual_s : kUnknownRoundTripS;
  }
  way.round_trip_s = *round_trip_s;
  way.rate_bytes_per_s =
      rate ? *rate : std::min(rates_[from].out_bytes_per_s, rates_[to].in_bytes_per_s);
  return way;
}

}  // namespace ptrain::plan
