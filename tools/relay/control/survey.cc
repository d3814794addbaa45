#include "tools/relay/control/survey.h"

#include <algorithm>
#include <chrono>

#include <nlohmann/json.hpp>

#include "libcommon/net/peer_id.h"
#include "libcommon/net/relay_codec.h"
#include "tools/relay/control/request_handler.h"

namespace ptrain::relay {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kHere = "here";
constexpr const char* kNowhere = "gone";
constexpr std::size_t kMaxAtChars = 256;

// What others say of themselves need not be UTF-8, and may take six times its length to write.
std::string line_of(Json json) {
  const auto write = [&] { return json.dump(-1, ' ', false, Json::error_handler_t::replace); };
  std::string line = write();
  for (const char* said : {"note", "trouble"}) {
    if (line.size() <= net::kMaxSurveyLineChars || !json.contains(said)) continue;
    json[said] = "(not printable)";
    line = write();
  }
  return line;
}

Json peer_line(const VerifyKey& run_key, const net::Place& who, const Registration& member,
               const std::optional<CarriedTraffic>& traffic, TimePoint now) {
  return {{"kind", "peer"},
          {"run", net::RunId(run_key).to_string()},
          {"role", who.role},
          {"peer", net::PeerId(who.peer_key).to_string()},
          {"host", member.host},
          {"connected", !member.connection.empty()},
          {"watching", member.watching},
          {"age_s", seconds(now - member.registered)},
          {"lease_s", seconds(member.expires - now)},
          {"streams", traffic ? traffic->connections : 0},
          {"sent_bytes", traffic ? traffic->sent_bytes : 0},
          {"at", kHere},
          {"note", member.note}};
}

// One that is registered with neighbours only. They say who it is, and no more.
Json far_peer_line(const VerifyKey& run_key, const net::Place& who, const std::string& at,
                   const std::optional<CarriedTraffic>& traffic) {
  return {{"kind", "peer"},
          {"run", net::RunId(run_key).to_string()},
          {"role", who.role},
          {"peer", net::PeerId(who.peer_key).to_string()},
          {"host", ""},
          {"connected", false},
          {"watching", false},
          {"age_s", 0},
          {"lease_s", 0},
          {"streams", traffic ? traffic->connections : 0},
          {"sent_bytes", traffic ? traffic->sent_bytes : 0},
          {"at", at},
          {"note", ""}};
}

// With all that a peer's line has, so that whoever reads those can read it.
Json departed_line(const Departed& departed, net::WallTime now) {
  const auto ago = std::max(now - departed.when, std::chrono::seconds(0));
  return {{"kind", "gone"},
          {"run", net::RunId(departed.who.run_key).to_string()},
          {"role", departed.who.place.role},
          {"peer", net::PeerId(departed.who.place.peer_key).to_string()},
          {"host", departed.host},
          {"connected", false},
          {"watching", false},
          {"age_s", 0},
          {"lease_s", 0},
          {"streams", 0},
          {"sent_bytes", 0},
          {"at", kNowhere},
          {"note", ""},
          {"how", departed.how},
          {"since", net::to_string(departed.when)},
          {"ago_s", ago.count()}};
}

Json neighbour_line(const NeighbourState& neighbour) {
  return {{"kind", "neighbour"},
          {"relay", neighbour.name},
          {"key", net::to_hex(neighbour.key)},
          {"connected", neighbour.connected},
          {"members", neighbour.members},
          {"trouble", neighbour.trouble}};
}

std::string names_of(const Reflections& reflections,
                     const std::vector<NeighbourState>& neighbours) {
  std::string names;
  for (const NeighbourState& neighbour : neighbours) {
    if (!reflections.contains(neighbour.key)) continue;
    names += (names.empty() ? "" : " ") + neighbour.name;
  }
  if (names.size() > kMaxAtChars) names.resize(kMaxAtChars);
  return names;
}

// Lines `after` to after + kSurveyLinesPerPage of those that `visit` gives.
template <class Each>
net::answer::Surveyed page_of(std::uint64_t after, Each each) {
  net::answer::Surveyed page;
  std::uint64_t index = 0;
  each([&](auto make_line) {
    const std::uint64_t at = index++;
    if (at < after || page.next != 0) return;
    if (page.lines.size() == kSurveyLinesPerPage) {
      page.next = at;
      return;
    }
    page.lines.push_back(line_of(make_line()));
  });
  return page;
}

net::answer::Surveyed runs(std::uint64_t after, const Registry& registry) {
  struct Count {
    std::size_t members = 0;
    std::size_t connected = 0;
    std::size_t elsewhere = 0;
  };
  std::map<VerifyKey, Count> counts;
  registry.for_each([&](const VerifyKey& run_key, const net::Place&, const Registration& member) {
    Count& count = counts[run_key];
    ++count.members;
    if (!member.connection.empty()) ++count.connected;
  });
  registry.for_each_elsewhere([&](const VerifyKey& run_key, const net::Place&, const Reflections&) {
    ++counts[run_key].elsewhere;
  });
  return page_of(after, [&](auto line) {
    for (const auto& counted : counts) {
      const VerifyKey& run_key = counted.first;
      const Count& count = counted.second;
      line([&] {
        return Json{{"kind", "run"},
                    {"run", net::RunId(run_key).to_string()},
                    {"members", count.members},
                    {"connected", count.connected},
                    {"elsewhere", count.elsewhere},
                    {"version", registry.version(run_key)}};
      });
    }
  });
}

}  // namespace

net::answer::Surveyed survey(const net::request::Survey& asked, const SurveySources& sources,
                             TimePoint now) {
  const Registry& registry = sources.registry;
  const RelayTotals& totals = sources.totals;
  const TrafficOf& traffic_of = sources.traffic_of;
  const std::vector<NeighbourState>& neighbours = sources.neighbours;
  switch (asked.subject) {
    case net::request::Subject::peers:
      return page_of(asked.after, [&](auto line) {
        registry.for_each(
            [&](const VerifyKey& run_key, const net::Place& who, const Registration& member) {
              line([&] { return peer_line(run_key, who, member, traffic_of(who.peer_key), now); });
            });
        registry.for_each_elsewhere(
            [&](const VerifyKey& run_key, const net::Place& who, const Reflections& reflections) {
              line([&] {
                return far_peer_line(run_key, who, names_of(reflections, neighbours),
                                     traffic_of(who.peer_key));
              });
            });
        sources.departures.for_each(sources.wall_now, [&](const Departed& departed) {
          line([&] { return departed_line(departed, sources.wall_now); });
        });
      });
    case net::request::Subject::runs:
      return runs(asked.after, registry);
    case net::request::Subject::totals:
      break;
  }
  net::answer::Surveyed page;
  for (const NeighbourState& neighbour : neighbours) {
    page.lines.push_back(line_of(neighbour_line(neighbour)));
  }
  page.lines.push_back(line_of({{"kind", "totals"},
                                {"members", registry.members()},
                                {"runs", registry.runs()},
                                {"requests", totals.requests},
                                {"refusals", totals.refusals},
                                {"ignored", totals.ignored},
                                {"registrations", totals.registrations},
                                {"introductions", totals.introductions},
                                {"tokens", totals.tokens},
                                {"elsewhere", registry.reflections()},
                                {"forwards", totals.forwards}}));
  return page;
}

}  // namespace ptrain::relay
