#include "libcommon/net/outside_ports.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <utility>

#include <fmt/format.h>
#include <sys/stat.h>

#include "libcommon/base/error.h"
#include "libcommon/base/text_lines.h"
#include "libcommon/net/address_reach.h"
#include "libcommon/net/endpoint.h"
#include "libcommon/os/read_file.h"

namespace ptrain::net {
namespace {

std::uint16_t read_port(std::string_view word) {
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), port);
  return error == std::errc{} && end == word.data() + word.size() ? port : std::uint16_t{0};
}

std::optional<OutsidePort> read_line(std::string_view line) {
  const auto words = words_of(line);
  if (words.size() != 3 || (words[0] != "tcp" && words[0] != "udp")) return std::nullopt;
  const std::string scheme = std::string(words[0]) + "://";
  if (!words[2].starts_with(scheme)) return std::nullopt;
  // Endpoints of ptrain are tcp's.
  const Endpoint outside = parse_endpoint("tcp://" + std::string(words[2].substr(scheme.size())));
  const OutsidePort port{.protocol = std::string(words[0]),
                         .port = read_port(words[1]),
                         .host = outside.host,
                         .outside = outside.port};
  const bool direct = outside.kind == EndpointKind::direct && !outside.key;
  if (!direct || port.port == 0 || port.outside == 0 || !parse_address(port.host)) {
    return std::nullopt;
  }
  return port;
}

}  // namespace

std::filesystem::path outside_ports_file() {
  const char* named = std::getenv(kOutsidePortsVariable);
  return named == nullptr ? "" : named;
}

std::vector<OutsidePort> parse_outside_ports(std::string_view text) {
  std::vector<OutsidePort> ports;
  for (const TextLine& line : text_lines(text)) {
    std::optional<OutsidePort> port;
    try {
      port = read_line(line.text);
    } catch (const Error&) {
      port.reset();
    }
    if (!port) {
      throw Error(ErrorKind::corrupt,
                  fmt::format("line {}: expected, as in tcp 7100 tcp://198.51.100.7:7100, a "
                              "protocol, a port and the endpoint by which others reach it",
                              line.number));
    }
    if (ports.size() == kMostOutsidePorts) {
      throw Error(ErrorKind::corrupt,
                  fmt::format("line {}: more than {} ports", line.number, kMostOutsidePorts));
    }
    ports.push_back(std::move(*port));
  }
  return ports;
}

const OutsidePort* find_outside(const std::vector<OutsidePort>& ports, std::string_view protocol,
                                std::uint16_t port) {
  const auto found = std::ranges::find_if(ports, [&](const OutsidePort& each) {
    return each.protocol == protocol && each.port == port;
  });
  return found == ports.end() ? nullptr : &*found;
}

std::optional<OutsidePorts::Stamp> OutsidePorts::stamp() const {
  struct stat status {};
  if (::stat(path_.c_str(), &status) != 0) return std::nullopt;
  return Stamp{
      .device = status.st_dev,
      .number = status.st_ino,
      .changed_ns = status.st_mtim.tv_sec * std::int64_t{1'000'000'000} + status.st_mtim.tv_nsec};
}

bool OutsidePorts::look(TimePoint now) {
  if (!named() || (looked_ && now < next_look_)) return false;
  next_look_ = now + kOutsideLook;
  const auto found = stamp();
  const bool first = !std::exchange(looked_, true);
  if (!first && found == seen_) return false;
  seen_ = found;
  const std::vector<OutsidePort> before = std::exchange(ports_, {});
  const std::string flaw_before = std::exchange(flaw_, "");
  read();
  return first || ports_ != before || flaw_ != flaw_before;
}

void OutsidePorts::read() {
  try {
    os::PosixStorage storage;
    ports_ = parse_outside_ports(os::read_file(storage, path_, kMostOutsideBytes));
  } catch (const Error& error) {
    ports_.clear();
    flaw_ = fmt::format("{} {}: {}", kOutsidePortsVariable, path_.string(), error.what());
  }
}

}  // namespace ptrain::net
