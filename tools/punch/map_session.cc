#include "tools/punch/map_session.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include "libcommon/cli/json_line.h"

namespace ptrain::punch {
namespace {

using State = MappingKeeper::State;

constexpr const char* kCure =
    "switch on UPnP, NAT-PMP or PCP in the router's own pages, forward the ports there by hand, or "
    "let others reach you through a relay (ptrain-relay(1))";

bool is_settled(const FamilyMappings& family) {
  return family.keeper().state() == State::holding || family.keeper().state() == State::failed;
}

bool holds(const FamilyMappings& family) { return family.keeper().state() == State::holding; }

bool has_ended(const FamilyMappings& family) { return family.keeper().state() == State::ended; }

std::vector<PortClaim> claim(const std::vector<Port>& ports) {
  std::vector<PortClaim> claims;
  for (const Port& port : ports) claims.emplace_back(port);
  return claims;
}

// SIGUSR1 and SIGUSR2 are the command's business.
std::vector<int> watched_signals(const std::vector<std::string>& command) {
  if (command.empty()) return {SIGINT, SIGTERM, SIGHUP};
  return {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGCHLD};
}

const char* signal_name(std::uint32_t number) {
  switch (number) {
    case SIGINT:
      return "SIGINT";
    case SIGTERM:
      return "SIGTERM";
    case SIGHUP:
      return "SIGHUP";
    default:
      return "SIGQUIT";
  }
}

}  // namespace

MapSession::MapSession(MapOptions options, const net::KeyPair& key, Log& log)
    : options_(std::move(options)),
      log_(log),
      loop_(clock_),
      signals_(loop_, watched_signals(options_.command),
               [this](const signalfd_siginfo& info) { on_signal(info); }),
      storage_(&log),
      output_(log),
      claims_(claim(options_.ports)),
      file_(storage_),
      v4_(loop_, log, FamilyMappings::Family::v4, options_.ports, options_.lease, key,
          [this] { changed(); }),
      v6_(loop_, log, FamilyMappings::Family::v6, options_.ports, options_.lease, key,
          [this] { changed(); }),
      other_family_(loop_.timer([this] {
        waited_ = true;
        changed();
      })) {
  file_.write({});
}

int MapSession::run() {
  loop_.run();
  if (trouble_) std::rethrow_exception(trouble_);
  return code_;
}

void MapSession::changed() {
  switch (phase_) {
    case Phase::mapping:
      return decide();
    case Phase::holding:
      return publish();
    case Phase::leaving:
      if (has_ended(v4_) && has_ended(v6_)) loop_.stop();
      return;
  }
}

void MapSession::decide() {
  const bool settled = is_settled(v4_) && is_settled(v6_);
  if (holds(v4_) || holds(v6_)) {
    if (settled || waited_) return hold();
    if (!waits_) other_family_->set(loop_.now() + kOtherFamily);
    waits_ = true;
    return;
  }
  if (!settled) return;
  trouble_ = std::make_exception_ptr(nobody_maps());
  leave();
}

void MapSession::hold() {
  phase_ = Phase::holding;
  published_ = lines();
  try {
    file_.write(published_);
    for (const FamilyMappings* family : {&v4_, &v6_}) {
      for (const std::string& line : mapped_lines(*family)) output_.ready(line);
    }
    if (!options_.command.empty()) {
      child_ = std::make_unique<ChildCommand>(options_.command, signals_.mask_before());
    }
  } catch (const Error&) {
    trouble_ = std::current_exception();
    leave();
  }
}

std::vector<std::string> MapSession::mapped_lines(const FamilyMappings& family) {
  std::vector<std::string> lines;
  for (const auto& [port, outside] : family.keeper().outside()) {
    const std::string endpoint = endpoint_text(port.transport, outside);
    log_.info(fmt::format("{} is {}, by {} at {}", to_string(port), endpoint, family.service_name(),
                          family.gateway_name()));
    if (!options_.json) {
      lines.push_back(endpoint);
      continue;
    }
    lines.push_back(cli::json_line({{"kind", "mapped"},
                                    {"protocol", name_of(port.transport)},
                                    {"port", port.number},
                                    {"outside", endpoint},
                                    {"service", family.service_name()},
                                    {"gateway", family.gateway_name()},
                                    {"lease_s", family.keeper().shortest_lease().count()}}));
  }
  return lines;
}

void MapSession::publish() {
  std::vector<OutsideLine> now = lines();
  if (now == published_) return;
  const std::vector<OutsideLine> before = std::exchange(published_, std::move(now));
  write_outside(published_);
  say_changes(before);
}

// While the command runs, standard output is its own.
void MapSession::say_changes(const std::vector<OutsideLine>& before) {
  const auto has = [](const std::vector<OutsideLine>& all, const OutsideLine& line) {
    return std::ranges::find(all, line) != all.end();
  };
  for (const OutsideLine& line : before) {
    if (has(published_, line)) continue;
    const std::string endpoint = endpoint_text(line.port.transport, line.outside);
    log_.warning(fmt::format("{} is no longer {}", to_string(line.port), endpoint));
    if (!options_.json || child_) continue;
    output_.event({{"kind", "lost"},
                   {"protocol", name_of(line.port.transport)},
                   {"port", line.port.number},
                   {"outside", endpoint}});
  }
  for (const FamilyMappings* family : {&v4_, &v6_}) {
    const auto outside = family->keeper().outside();
    const bool anew = std::ranges::any_of(outside, [&](const auto& each) {
      return !has(before, OutsideLine{each.first, each.second});
    });
    if (!anew) continue;
    for (const std::string& line : mapped_lines(*family)) {
      if (!child_) output_.line(line);
    }
  }
}

void MapSession::write_outside(const std::vector<OutsideLine>& lines) {
  try {
    file_.write(lines);
  } catch (const Error& error) {
    log_.warning(error.what());
  }
}

std::vector<OutsideLine> MapSession::lines() const {
  std::vector<OutsideLine> all;
  for (const FamilyMappings* family : {&v4_, &v6_}) {
    for (const auto& [port, outside] : family->keeper().outside()) all.push_back({port, outside});
  }
  return all;
}

void MapSession::leave() {
  if (phase_ == Phase::leaving) return;
  if (!published_.empty()) write_outside({});
  phase_ = Phase::leaving;
  v4_.finish();
  v6_.finish();
}

void MapSession::on_signal(const signalfd_siginfo& info) {
  const auto number = static_cast<int>(info.ssi_signo);
  if (number == SIGCHLD) {
    const auto ended = child_ ? child_->ended() : std::nullopt;
    if (!ended || phase_ == Phase::leaving) return;
    code_ = *ended;
    return leave();
  }
  if (child_ && !child_->ended()) {
    // What a terminal sends, it sends to the command as well.
    if (info.ssi_code != SI_KERNEL) child_->send(number);
    return;
  }
  if (number == SIGUSR1 || number == SIGUSR2) return;
  switch (rules_.hear(number, loop_.now().time_since_epoch())) {
    case os::StopAnswer::begin:
      if (phase_ == Phase::leaving) return;
      log_.info(fmt::format("{}: stopping", signal_name(info.ssi_signo)));
      code_ = 128 + number;
      return leave();
    case os::StopAnswer::leave_now:
      ::_exit(128 + number);
    case os::StopAnswer::nothing:
      return;
  }
}

Error MapSession::nobody_maps() const {
  if (!v4_.has_gateways() && !v6_.has_gateways()) {
    return Error(ErrorKind::unavailable,
                 "there is no router to ask: no default route has a gateway",
                 "a host that is on the internet itself needs no mapping");
  }
  std::vector<std::string> names;
  for (const Port& port : options_.ports) names.push_back(to_string(port));
  std::vector<std::string> reasons = v4_.keeper().reasons();
  const auto& more = v6_.keeper().reasons();
  reasons.insert(reasons.end(), more.begin(), more.end());
  const std::string& cure = v4_.keeper().cure();
  return Error(ErrorKind::unavailable,
               fmt::format("no gateway maps {} so that others can use it: {}",
                           fmt::join(names, ", "), fmt::join(reasons, "; ")),
               cure.empty() ? kCure : cure);
}

}  // namespace ptrain::punch
