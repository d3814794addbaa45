// What dial and listen have in common: the run whose members meet, how they introduce themselves,
// and how paths are told.

#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "libcommon/base/units.h"
#include "libcommon/net/node.h"

namespace ptrain::punch {

struct MeetingOptions {
  std::string ticket_file;
  std::string key_file;
  std::vector<std::uint16_t> ports;  // of holes
  bool json = false;
};

void add_meeting_options(CLI::App& command, MeetingOptions& options);

// The roles of both among the members of a run begin so; the rest is a name, or drawn.
inline constexpr std::string_view kListenerRoles = "punch-";
inline constexpr std::string_view kDialerRoles = "puncher-";
inline constexpr StageIndex kListenerPlace{0};
inline constexpr StageIndex kDialerPlace{1};

// Nobody takes one of us for a stage.
net::Introduction introduction();
net::Meeting meeting_of(const MeetingOptions& options);
// 1 to 24 small letters, digits and '-'.
inline constexpr std::size_t kMaxNameChars = 24;
bool is_name(std::string_view text);
// Of who gives itself none.
std::string name_of(const net::PublicKey& key);
std::string draw_name();

nlohmann::ordered_json rung_line(const net::PathRung& rung);
std::string rung_text(const net::PathRung& rung);

}  // namespace ptrain::punch
