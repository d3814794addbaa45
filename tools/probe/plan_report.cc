#include "tools/probe/plan_report.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

#include <fmt/format.h>

namespace ptrain::probe_tool {
namespace {

using Json = nlohmann::ordered_json;

// Of hosts that have one reason in common, so many are named.
constexpr std::size_t kNamed = 3;

double number(const Json& json, const char* key) { return json.at(key).get<double>(); }
std::string text(const Json& json, const char* key) { return json.at(key).get<std::string>(); }

std::string rate(double tokens_per_s) { return fmt::format("{:.0f} tokens/s", tokens_per_s); }

std::string verdict(const plan::PlanFile& plan) {
  const Json& why = plan.explanation;
  const std::size_t hosts = plan.view.size();
  if (hosts == 1) {
    return fmt::format("one machine, {}, is as fast as many: {}\n", plan.view[0].host,
                       rate(plan.tokens_per_s));
  }
  std::string line = fmt::format("{} hosts: {}", hosts, rate(plan.tokens_per_s));
  if (!why.contains("single_host")) return line + "; no host alone has room for the job\n";
  const Json& single = why.at("single_host");
  return line + fmt::format("; {} alone: {}, {:.2f} times slower\n", text(single, "host"),
                            rate(number(single, "tokens_per_s")),
                            plan.tokens_per_s / number(single, "tokens_per_s"));
}

std::string stages_text(const Json& stages) {
  std::string lines = fmt::format("{:<6} {:<20} {:>6} {:>10} {:>10}  {}\n", "stage", "host", "busy",
                                  "in flight", "memory", "holds");
  for (const Json& stage : stages) {
    lines += fmt::format("{:<6} {:<20} {:>5.0f}% {:>10} {:>7.2f} GB  {}\n",
                         stage.at("stage").get<std::int64_t>(), text(stage, "host"),
                         100 * number(stage, "busy"), stage.at("in_flight").get<std::int64_t>(),
                         number(stage, "memory_bytes") / 1e9, text(stage, "holds"));
  }
  return lines;
}

// Hosts that have the same reason stand in one line.
std::string unused_text(const Json& unused) {
  std::vector<std::string> order;
  std::map<std::string, std::vector<std::string>> hosts;
  for (const Json& each : unused) {
    std::vector<std::string>& same = hosts[text(each, "why")];
    if (same.empty()) order.push_back(text(each, "why"));
    same.push_back(text(each, "host"));
  }
  std::string lines;
  for (const std::string& why : order) {
    const std::vector<std::string>& same = hosts[why];
    std::string names = same[0];
    for (std::size_t i = 1; i < same.size() && i < kNamed; ++i) names += ", " + same[i];
    if (same.size() > kNamed) names += fmt::format(" and {} more", same.size() - kNamed);
    lines += fmt::format("unused: {}: {}\n", names, why);
  }
  return lines;
}

}  // namespace

std::string plan_table(const plan::PlanFile& plan) {
  const Json& why = plan.explanation;
  const Json& predicted = why.at("predicted");
  std::string table = verdict(plan);
  for (const std::string& line : plan.set) table += fmt::format("--set {}\n", line);
  table += stages_text(why.at("stages"));
  table += fmt::format(
      "a step takes {:.3g} s: {:.3g} s pipeline, {:.3g} s verdict, {:.3g} s tied head, {:.3g} s "
      "update; {:.1f} MB cross links\n",
      plan.step_s, number(predicted, "pipeline_s"), number(predicted, "verdict_s"),
      number(predicted, "tied_s"), number(predicted, "update_s"),
      number(predicted, "bytes_per_step") / 1e6);
  table += fmt::format("limit: {}, {:.0f} % of the step\n", text(why.at("limit"), "what"),
                       100 * number(why.at("limit"), "busy"));
  for (const Json& each : why.at("what_if")) {
    table += fmt::format("if {}: {}\n", text(each, "change"), rate(number(each, "tokens_per_s")));
  }
  for (const Json& each : why.at("losses")) {
    std::string line = fmt::format("without {}: ", text(each, "host"));
    line += each.contains("tokens_per_s") ? rate(number(each, "tokens_per_s")) : "no plan";
    if (each.contains("instead")) line += fmt::format(", with {}", text(each, "instead"));
    table += line + "\n";
  }
  table += unused_text(why.at("unused"));
  for (const Json& each : why.at("estimated")) {
    table += fmt::format("estimated: {}\n", each.get<std::string>());
  }
  return table;
}

}  // namespace ptrain::probe_tool
