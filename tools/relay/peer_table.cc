#include "tools/relay/peer_table.h"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "libcommon/base/error.h"

namespace ptrain::relay {
namespace {

using Json = nlohmann::json;

// What a peer says of itself must not move the reader's cursor.
std::string printable(std::string text) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  return text;
}

std::string size_text(std::uint64_t bytes) {
  constexpr const char* kUnits[] = {"B", "kB", "MB", "GB", "TB"};
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  for (; value >= 1000 && unit + 1 < std::size(kUnits); ++unit) value /= 1000;
  return fmt::format("{:.{}f} {}", value, unit == 0 ? 0 : 1, kUnits[unit]);
}

template <class Row>
std::vector<std::string> table(const std::string& head, const std::vector<std::string>& lines,
                               Row row) {
  std::vector<std::string> result{head};
  try {
    for (const std::string& line : lines) result.push_back(row(Json::parse(line)));
  } catch (const Json::exception& error) {
    throw Error(ErrorKind::corrupt, fmt::format("the relay's survey: {}", error.what()));
  }
  return result;
}

std::string ago_text(std::int64_t seconds) {
  constexpr std::int64_t kMinute = 60;
  return seconds < 2 * kMinute ? fmt::format("{} s", seconds)
                               : fmt::format("{} min", seconds / kMinute);
}

std::string how_it_went(const std::string& how) {
  if (how == "expired") return "its lease ran out";
  if (how == "revoked") return "taken out";
  if (how == "displaced") return "gave way to another address";
  return how;
}

// What is to be said of where a peer is, before its own note.
std::string whereabouts(const Json& peer) {
  if (peer.at("kind") == "gone") {
    return fmt::format("(gone since {}, {} ago: {})", peer.at("since").get<std::string>(),
                       ago_text(peer.at("ago_s").get<std::int64_t>()),
                       how_it_went(peer.at("how").get<std::string>()));
  }
  const std::string at = peer.at("at");
  if (at != "here") return fmt::format("(at {}) ", at);
  return peer.at("connected").get<bool>() ? "" : "(not connected) ";
}

}  // namespace

std::vector<std::string> peer_table(const std::vector<std::string>& lines) {
  return table(fmt::format("{:<32}  {:<12} {:<32}  {:<15} {:>7} {:>6} {:>9}  {}", "RUN", "ROLE",
                           "PEER", "HOST", "LEASE", "STREAMS", "SENT", "NOTE"),
               lines, [](const Json& peer) {
                 const std::string where = whereabouts(peer);
                 return fmt::format(
                     "{:<32}  {:<12} {:<32}  {:<15} {:>6.0f}s {:>7} {:>9}  {}{}",
                     peer.at("run").get<std::string>(), peer.at("role").get<std::string>(),
                     peer.at("peer").get<std::string>(), peer.at("host").get<std::string>(),
                     peer.at("lease_s").get<double>(), peer.at("streams").get<std::uint64_t>(),
                     size_text(peer.at("sent_bytes").get<std::uint64_t>()), where,
                     printable(peer.at("note").get<std::string>()));
               });
}

std::vector<std::string> run_table(const std::vector<std::string>& lines) {
  return table(fmt::format("{:<32}  {:>7} {:>9} {:>9}", "RUN", "MEMBERS", "CONNECTED", "ELSEWHERE"),
               lines, [](const Json& run) {
                 return fmt::format("{:<32}  {:>7} {:>9} {:>9}", run.at("run").get<std::string>(),
                                    run.at("members").get<std::uint64_t>(),
                                    run.at("connected").get<std::uint64_t>(),
                                    run.at("elsewhere").get<std::uint64_t>());
               });
}

std::vector<std::string> totals_lines(const std::vector<std::string>& lines) {
  auto rows = table("", lines, [](const Json& totals) {
    if (totals.at("kind") == "neighbour") {
      const bool connected = totals.at("connected");
      return fmt::format("neighbour {}: {} peers{}", totals.at("relay").get<std::string>(),
                         totals.at("members").get<std::uint64_t>(),
                         connected ? "" : ", not connected");
    }
    return fmt::format(
        "{} peers in {} runs, {} requests, {} refused, {} introductions",
        totals.at("members").get<std::uint64_t>(), totals.at("runs").get<std::uint64_t>(),
        totals.at("requests").get<std::uint64_t>(), totals.at("refusals").get<std::uint64_t>(),
        totals.at("introductions").get<std::uint64_t>());
  });
  rows.erase(rows.begin());
  std::rotate(rows.begin(), rows.end() - 1, rows.end());  // the relay itself comes first
  return rows;
}

}  // namespace ptrain::relay
