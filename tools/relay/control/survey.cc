#include "tools/relay/control/survey.h"

#include <nlohmann/json.hpp>

#include "libcommon/net/peer_id.h"
#include "libcommon/net/relay_codec.h"
#include "tools/relay/control/request_handler.h"

namespace ptrain::relay {
namespace {

using Json = nlohmann::ordered_json;

// Notes come from peers, and need not be UTF-8.
std::string line_of(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
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
          {"note", member.note}};
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
  };
  std::map<VerifyKey, Count> counts;
  registry.for_each([&](const VerifyKey& run_key, const net::Place&, const Registration& member) {
    Count& count = counts[run_key];
    ++count.members;
    if (!member.connection.empty()) ++count.connected;
  });
  return page_of(after, [&](auto line) {
    for (const auto& [run_key, count] : counts) {
      line([&] {
        return Json{{"kind", "run"},
                    {"run", net::RunId(run_key).to_string()},
                    {"members", count.members},
                    {"connected", count.connected},
                    {"version", registry.version(run_key)}};
      });
    }
  });
}

}  // namespace

net::answer::Surveyed survey(const net::request::Survey& asked, const Registry& registry,
                             const RelayTotals& totals, const TrafficOf& traffic_of,
                             TimePoint now) {
  switch (asked.subject) {
    case net::request::Subject::peers:
      return page_of(asked.after, [&](auto line) {
        registry.for_each(
            [&](const VerifyKey& run_key, const net::Place& who, const Registration& member) {
              line([&] { return peer_line(run_key, who, member, traffic_of(who.peer_key), now); });
            });
      });
    case net::request::Subject::runs:
      return runs(asked.after, registry);
    case net::request::Subject::totals:
      break;
  }
  return {.lines = {line_of({{"kind", "totals"},
                             {"members", registry.members()},
                             {"runs", registry.runs()},
                             {"requests", totals.requests},
                             {"refusals", totals.refusals},
                             {"ignored", totals.ignored},
                             {"registrations", totals.registrations},
                             {"introductions", totals.introductions},
                             {"tokens", totals.tokens}})},
          .next = 0};
}

}  // namespace ptrain::relay
