#include "tools/probe/nat_report.h"

#include <algorithm>

#include <fmt/format.h>

#include "libcommon/net/wall_time.h"
#include "libcommon/probe/socket_address.h"

namespace ptrain::probe_tool {
namespace {

using probe::NatClass;
using Json = nlohmann::ordered_json;

double milliseconds(Duration time) { return seconds(time) * 1e3; }

std::string began_text(const NatReport& report) {
  return net::to_string(std::chrono::floor<std::chrono::seconds>(report.began));
}

// Whether a relay was reached at all.
bool reaches(const std::optional<FamilyReport>& family) {
  return family && family->verdict.nearest;
}

Json relays_json(const FamilyReport& family) {
  Json relays = Json::array();
  for (std::size_t i = 0; i < family.relays.size(); ++i) {
    const probe::EchoFindings& echo = family.findings.echoes[i];
    Json relay{{"relay", family.relays[i]}};
    if (echo.round_trip) relay["round_trip_s"] = seconds(*echo.round_trip);
    if (echo.tcp_connect) relay["tcp_connect_s"] = seconds(*echo.tcp_connect);
    relay["nearest"] = family.verdict.nearest == i;
    if (echo.seen[0]) relay["outside"] = to_string(*echo.seen[0]);
    relays.push_back(std::move(relay));
  }
  return relays;
}

void add_family(Json& json, const FamilyReport& family) {
  const probe::NatVerdict& verdict = family.verdict;
  json["class"] = std::string(name_of(verdict.nat_class));
  json["mapping"] = std::string(name_of(verdict.mapping));
  json["filtering"] = std::string(name_of(verdict.filtering));
  json["class_s"] = seconds(family.took);
  if (family.findings.own) json["inside"] = to_string(*family.findings.own);
  if (verdict.outside) {
    json["outside"] = to_string(*verdict.outside);
    json["same_port"] = !verdict.other_port;
  }
  if (family.findings.hairpin) json["hairpin"] = *family.findings.hairpin;
  json["relays"] = relays_json(family);
}

Json services_json(const NatReport& report) {
  Json services = Json::array();
  for (const MappingService& each : report.services) {
    Json service{{"service", each.service}, {"gateway", each.gateway}, {"answers", each.answers}};
    if (!each.answers) service["why"] = each.why;
    if (each.outside) service["outside"] = probe::host_text(*each.outside);
    if (!each.worthless.empty()) service["worthless"] = each.worthless;
    services.push_back(std::move(service));
  }
  return services;
}

std::string line(std::string_view name, const std::string& text) {
  return fmt::format("{:<14} {}\n", name, text);
}

std::string class_text(const NatReport& report, const FamilyReport& family) {
  std::string text(name_of(family.verdict.nat_class));
  if (behind_carrier(report)) text += ", behind a carrier's NAT";
  return fmt::format("{} (mapping {}, filtering {})", text, name_of(family.verdict.mapping),
                     name_of(family.verdict.filtering));
}

std::string outside_text(const FamilyReport& family) {
  const probe::NatVerdict& verdict = family.verdict;
  if (!verdict.outside) return "not known";
  std::string text = to_string(*verdict.outside);
  if (family.findings.own) text += fmt::format(", inside {}", to_string(*family.findings.own));
  if (verdict.other_port) text += ": the port is another one";
  return text;
}

void add_relays(std::string& table, const FamilyReport& family) {
  for (std::size_t i = 0; i < family.relays.size(); ++i) {
    const probe::EchoFindings& echo = family.findings.echoes[i];
    std::string text = family.relays[i] + ": ";
    const auto latency = probe::latency_of(echo);
    if (!latency) {
      text += "no answer";
    } else {
      text += fmt::format("{:.1f} ms{}", milliseconds(*latency), echo.round_trip ? "" : " by TCP");
    }
    if (family.verdict.nearest == i && family.relays.size() > 1) text += ", the nearest";
    table += line("relay", text);
  }
}

std::string service_text(const MappingService& service) {
  std::string text = fmt::format("{} at {}: {}", service.service, service.gateway,
                                 service.answers ? "answers" : service.why);
  if (service.outside) text += ", outside " + probe::host_text(*service.outside);
  if (!service.worthless.empty()) text += fmt::format(" ({})", service.worthless);
  return text;
}

std::string ipv6_text(const NatReport& report) {
  if (!report.v6_address) return "none that the world reaches";
  std::string text = probe::host_text(*report.v6_address);
  if (!report.v6) return text + ", no relay to try it with";
  return text + (reaches(report.v6) ? fmt::format(", {}", name_of(report.v6->verdict.nat_class))
                                    : std::string(", but no relay is reached with it"));
}

}  // namespace

const FamilyReport& main_family(const NatReport& report) {
  return report.v4 && (reaches(report.v4) || !reaches(report.v6)) ? *report.v4
         : report.v6                                              ? *report.v6
                                                                  : *report.v4;
}

bool behind_carrier(const NatReport& report) {
  if (!report.v4) return false;
  const auto carriers = [](const net::AddressBytes& each) { return probe::is_of_a_carrier(each); };
  if (report.v4->verdict.mapping == probe::Mapping::none) return false;
  const auto& own = report.v4->findings.own;
  return (own && carriers(own->host)) || std::ranges::any_of(report.routers, carriers) ||
         std::ranges::any_of(report.services, [&](const MappingService& each) {
           return each.outside && carriers(*each.outside);
         });
}

probe::NatMeaning meaning_of(const NatReport& report) {
  // Not every service of a router says that nobody would reach what it maps.
  const auto worthless = [&](const std::string& gateway) {
    return std::ranges::any_of(report.services, [&](const MappingService& each) {
      return each.gateway == gateway && !each.worthless.empty();
    });
  };
  const bool maps = !behind_carrier(report) &&
                    std::ranges::any_of(report.services, [&](const MappingService& each) {
                      return each.answers && !worthless(each.gateway);
                    });
  return probe::meaning_of(main_family(report).verdict.nat_class,
                           {.behind_carrier = behind_carrier(report),
                            .maps_ports = maps,
                            .reached_by_ipv6 = report.v6_address && reaches(report.v6)});
}

nlohmann::ordered_json to_json(const NatReport& report) {
  Json json{{"kind", "nat"},
            {"time", began_text(report)},
            {"time_s", std::chrono::duration<double>(report.began.time_since_epoch()).count()}};
  const FamilyReport& family = main_family(report);
  add_family(json, family);
  json["carrier"] = behind_carrier(report);
  Json ipv6{{"reaches", reaches(report.v6)}};
  if (report.v6_address) ipv6["address"] = probe::host_text(*report.v6_address);
  if (report.v6 && &family != &*report.v6) add_family(ipv6, *report.v6);
  json["ipv6"] = std::move(ipv6);
  json["mapping_services"] = services_json(report);
  const probe::NatMeaning meaning = meaning_of(report);
  json["means"] = meaning.means;
  if (!meaning.cure.empty()) json["cure"] = meaning.cure;
  return json;
}

std::string to_table(const NatReport& report) {
  const FamilyReport& family = main_family(report);
  std::string table = line("class", class_text(report, family));
  table += line("outside", outside_text(family));
  if (family.findings.hairpin) {
    table += line("hairpin", *family.findings.hairpin ? "yes" : "no");
  }
  add_relays(table, family);
  table += line("IPv6", ipv6_text(report));
  if (report.services.empty()) table += line("port mapping", "no router to ask");
  for (const MappingService& each : report.services) {
    table += line("port mapping", service_text(each));
  }
  const probe::NatMeaning meaning = meaning_of(report);
  table += line("means", meaning.means);
  if (!meaning.cure.empty()) table += line("cure", meaning.cure);
  return table;
}

}  // namespace ptrain::probe_tool
