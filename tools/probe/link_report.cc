#include "tools/probe/link_report.h"

#include <chrono>
#include <utility>

#include <fmt/format.h>

#include "libcommon/net/wall_time.h"

namespace ptrain::probe_tool {
namespace {

using probe::RoundTrips;
using probe::WayFigures;

double milliseconds(Duration time) { return seconds(time) * 1e3; }
double mbit_per_s(double bytes_per_s) { return bytes_per_s * 8 / 1e6; }

std::string began_text(const probe::LinkFigures& figures) {
  return net::to_string(std::chrono::floor<std::chrono::seconds>(figures.began));
}

double unix_seconds(std::chrono::system_clock::time_point time) {
  return std::chrono::duration<double>(time.time_since_epoch()).count();
}

nlohmann::ordered_json to_json(const RoundTrips& round_trips) {
  return {{"count", round_trips.count},
          {"least_s", seconds(round_trips.least)},
          {"median_s", seconds(round_trips.median)},
          {"p99_s", seconds(round_trips.p99)},
          {"jitter_s", seconds(round_trips.jitter)}};
}

nlohmann::ordered_json to_json(const WayFigures& way) {
  nlohmann::ordered_json json;
  if (way.rate) {
    json["rate_bytes_per_s"] = way.rate->bytes_per_s;
    json["low_bytes_per_s"] = way.rate->low;
    json["high_bytes_per_s"] = way.rate->high;
    json["steady"] = way.rate->steady;
    json["slow_start_s"] = seconds(way.rate->slow_start);
  }
  if (way.coarse_bytes_per_s) json["coarse_bytes_per_s"] = *way.coarse_bytes_per_s;
  json["limited_by"] = std::string(name_of(way.limited_by));
  json["bytes"] = way.bytes.value();
  json["time_s"] = seconds(way.time);
  if (way.loaded) json["loaded_round_trip"] = to_json(*way.loaded);
  return json;
}

// "19.1 Mbit/s, 19.0 to 19.2 by 95 %", with what is to be known of it.
std::string rate_text(const WayFigures& way) {
  std::string text = "not known";
  if (way.rate) {
    text = fmt::format("{:.2f} Mbit/s, {:.2f} to {:.2f} by 95 %", mbit_per_s(way.rate->bytes_per_s),
                       mbit_per_s(way.rate->low), mbit_per_s(way.rate->high));
  } else if (way.coarse_bytes_per_s) {
    text = fmt::format("about {:.1f} Mbit/s", mbit_per_s(*way.coarse_bytes_per_s));
  }
  switch (way.limited_by) {
    case probe::LimitedBy::nothing:
      break;
    case probe::LimitedBy::bytes:
      text += "; no steadier within --max-bytes";
      break;
    case probe::LimitedBy::time:
      text += "; no steadier within --max-time";
      break;
    case probe::LimitedBy::rate:
      text += "; at least: --max-rate allows no more";
      break;
  }
  return text;
}

std::string short_rate(const std::optional<WayFigures>& way) {
  if (!way) return "-";
  if (way->rate) return fmt::format("{:.2f}", mbit_per_s(way->rate->bytes_per_s));
  if (way->coarse_bytes_per_s) return fmt::format("{:.1f}", mbit_per_s(*way->coarse_bytes_per_s));
  return "?";
}

std::string path_text(const LinkReport& report) {
  std::string text = report.figures.path;
  if (report.figures.route) text += fmt::format(", {}", name_of(*report.figures.route));
  if (report.interface) {
    text += fmt::format(", through {}{}", report.interface->name,
                        report.interface->tunnel ? ", a tunnel" : "");
  }
  if (report.figures.path_changes > 0) text += ", and changed while it was measured";
  return text;
}

void add_way(std::string& table, const char* name, const std::optional<WayFigures>& way) {
  if (!way) return;
  table += fmt::format("{:<12} {} ({:.1f} MB in {:.1f} s)\n", name, rate_text(*way),
                       static_cast<double>(way->bytes.value()) / 1e6, seconds(way->time));
  if (!way->loaded) return;
  table += fmt::format("{:<12} {:.1f} ms median round trip, {:.1f} ms p99\n", "  under load",
                       milliseconds(way->loaded->median), milliseconds(way->loaded->p99));
}

}  // namespace

LinkReport report_of(std::string peer, probe::LinkFigures figures) {
  auto interface = probe::interface_towards(figures.path);
  return {.peer = std::move(peer), .figures = std::move(figures), .interface = interface};
}

nlohmann::ordered_json to_json(const LinkReport& report) {
  const probe::LinkFigures& figures = report.figures;
  nlohmann::ordered_json json{{"kind", "link"},
                              {"time", began_text(figures)},
                              {"time_s", unix_seconds(figures.began)},
                              {"peer", report.peer},
                              {"path", figures.path}};
  if (figures.route) json["route"] = std::string(name_of(figures.route->kind));
  json["path_changes"] = figures.path_changes;
  if (report.interface) {
    json["interface"] = report.interface->name;
    json["tunnel"] = report.interface->tunnel;
  }
  json["round_trip"] = to_json(figures.idle);
  if (figures.to_peer) json["to_peer"] = to_json(*figures.to_peer);
  if (figures.from_peer) json["from_peer"] = to_json(*figures.from_peer);
  return json;
}

std::string to_table(const LinkReport& report) {
  const probe::LinkFigures& figures = report.figures;
  std::string table = fmt::format("{:<12} {}\n", "path", path_text(report));
  table += fmt::format("{:<12} {:.2f} ms median, {:.2f} ms p99, {:.2f} ms jitter\n", "round trip",
                       milliseconds(figures.idle.median), milliseconds(figures.idle.p99),
                       milliseconds(figures.idle.jitter));
  add_way(table, "to peer", figures.to_peer);
  add_way(table, "from peer", figures.from_peer);
  return table;
}

std::string to_line(const LinkReport& report) {
  const probe::LinkFigures& figures = report.figures;
  return fmt::format("{}  {:.2f} ms round trip, {:.2f} ms jitter, {} Mbit/s to, {} Mbit/s from",
                     began_text(figures), milliseconds(figures.idle.median),
                     milliseconds(figures.idle.jitter), short_rate(figures.to_peer),
                     short_rate(figures.from_peer));
}

}  // namespace ptrain::probe_tool
