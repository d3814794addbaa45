// ptrain-punch status: which mapping services answer, and what is mapped.

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "libcommon/cli/exit_code.h"
#include "libcommon/cli/json_line.h"
#include "libcommon/cli/output.h"
#include "libcommon/net/keys.h"
#include "libcommon/portmap/gateway_survey.h"
#include "tools/punch/commands.h"
#include "tools/punch/port_claim.h"

namespace ptrain::punch {
namespace {

struct Answer {
  bool answers = false;
  std::string words;  // "answers", or why not
  std::optional<net::AddressBytes> outside;
};

Answer answer_of(const Outcome& outcome) {
  if (const auto* alive = std::get_if<Alive>(&outcome.what)) {
    return {.answers = true, .words = "answers", .outside = alive->outside};
  }
  if (const auto* refused = std::get_if<Refused>(&outcome.what)) {
    return {.words = refused->reason, .outside = {}};
  }
  return {.words = "no answer", .outside = {}};
}

void print_service(const GatewayServices& services, const Outcome& outcome, bool json) {
  const Answer answer = answer_of(outcome);
  const std::string service = name_of(services.service(outcome.source));
  const std::string gateway = to_string(services.gateway(outcome.source));
  const std::string why = answer.outside ? worthless(*answer.outside).why : "";
  if (json) {
    nlohmann::ordered_json line{{"kind", "service"},
                                {"service", service},
                                {"gateway", gateway},
                                {"answers", answer.answers}};
    if (!answer.answers) line["reason"] = answer.words;
    if (answer.outside) line["outside"] = address_text(*answer.outside);
    if (!why.empty()) line["worthless"] = why;
    return cli::print_json_line(line);
  }
  std::string text = fmt::format("{:<8} at {}: {}", service, gateway, answer.words);
  if (answer.outside) text += ", outside " + address_text(*answer.outside);
  if (!why.empty()) text += fmt::format(" ({})", why);
  cli::print("{}\n", text);
}

void print_mapping(const std::string& service, const ListedMapping& mapping, bool json) {
  if (json) {
    return cli::print_json_line({{"kind", "mapping"},
                                 {"protocol", name_of(mapping.inside.transport)},
                                 {"outside_port", mapping.outside_port},
                                 {"client", mapping.client},
                                 {"port", mapping.inside.number},
                                 {"lease_s", mapping.lease_s},
                                 {"description", mapping.description}});
  }
  cli::print("mapping  {} {} leads to {}:{} for {} s ({}), says {}\n",
             name_of(mapping.inside.transport), mapping.outside_port, mapping.client,
             mapping.inside.number, mapping.lease_s, mapping.description, service);
}

void print_claim(const ClaimedPort& claim, bool json) {
  if (json) {
    nlohmann::ordered_json line{{"kind", claim.held ? "kept" : "left"},
                                {"protocol", name_of(claim.port.transport)},
                                {"port", claim.port.number},
                                {"process", claim.holder}};
    return cli::print_json_line(line);
  }
  if (claim.held) {
    cli::print("ours     {} is kept by process {}\n", to_string(claim.port), claim.holder);
  } else {
    cli::print("ours     {} was left by process {}: ptrain-punch unmap removes it\n",
               to_string(claim.port), claim.holder);
  }
}

int status(bool json) {
  for (const ClaimedPort& claim : claimed_ports()) print_claim(claim, json);
  const net::KeyPair key = net::host_key({});
  GatewaySurvey survey(key);
  bool anybody = false;
  survey.run([&] {
    survey.ask_all(survey.looks(), [&](std::vector<Outcome> outcomes) {
      std::ranges::sort(outcomes, {}, &Outcome::source);
      for (const Outcome& outcome : outcomes) {
        print_service(survey.services(), outcome, json);
        if (!std::holds_alternative<Alive>(outcome.what)) continue;
        anybody = true;
        if (survey.services().service(outcome.source) != Service::upnp) continue;
        survey.list(outcome.source, [&survey, json, source = outcome.source](
                                        const std::vector<ListedMapping>& listed) {
          for (const auto& each : listed) print_mapping(survey.services().name(source), each, json);
        });
      }
    });
  });
  return anybody ? cli::kDone : cli::kUnavailable;
}

}  // namespace

void add_status(CLI::App& app, Command& command, const Words&) {
  CLI::App* sub = app.add_subcommand("status", "Show what could map ports, and what is mapped");
  sub->footer("Example:\n  ptrain-punch status");
  auto json = std::make_shared<bool>(false);
  sub->add_flag("--json", *json, "Print JSON");
  sub->callback([&command, json] { command = [json] { return status(*json); }; });
}

}  // namespace ptrain::punch
