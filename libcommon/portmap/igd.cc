#include "libcommon/portmap/igd.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <memory>

#include <fmt/format.h>
#include <miniupnpc/miniupnpc.h>
#include <miniupnpc/upnpcommands.h>
#include <miniupnpc/upnperrors.h>

#include "libcommon/base/printable.h"
#include "libcommon/base/random_source.h"

namespace ptrain::punch {
namespace {

constexpr int kSearchMs = 2000;
constexpr unsigned char kHops = 2;  // as UPnP's architecture says
constexpr int kConflict = 718;
constexpr int kNoSuchEntry = 714;
constexpr int kOnlyPermanentLeases = 725;
constexpr int kConflictWithOthers = 729;
constexpr int kMostOutsidePorts = 4;  // that are tried where the first is another's
constexpr std::uint16_t kFirstFreePort = 20000;

const char* upper_name(Transport transport) { return transport == Transport::tcp ? "TCP" : "UDP"; }

std::uint16_t random_port() {
  SystemRandom random;
  const auto bytes = random.bytes<2>();
  const auto number =
      std::to_integer<unsigned>(bytes[0]) << 8 | std::to_integer<unsigned>(bytes[1]);
  return static_cast<std::uint16_t>(kFirstFreePort + number % (UINT16_MAX - kFirstFreePort));
}

std::optional<std::uint16_t> parse_port(std::string_view text) {
  std::uint16_t port = 0;
  const auto [stopped, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc() || stopped != text.data() + text.size()) return std::nullopt;
  return port;
}

// What a call that failed says: an error of the gateway's, or that it could not be asked.
Igd::What failure(int code) {
  if (code > 0) return Refused{igd_error_text(code)};
  return Silent{};
}

struct FreeDevices {
  void operator()(UPNPDev* devices) const { freeUPNPDevlist(devices); }
};

}  // namespace

std::string_view host_of_url(std::string_view url) {
  constexpr std::string_view kScheme = "http://";
  if (!url.starts_with(kScheme)) return {};
  url.remove_prefix(kScheme.size());
  url = url.substr(0, url.find('/'));
  if (url.find('@') != std::string_view::npos) return {};
  if (url.starts_with('[')) {
    const auto end = url.find(']');
    return end == std::string_view::npos ? std::string_view{} : url.substr(1, end - 1);
  }
  return url.substr(0, url.find(':'));
}

std::string igd_error_text(int code) {
  std::string_view meaning;
  switch (code) {
    case 501:
      meaning = "the gateway could not do it; some say so of a port or an address that they forbid";
      break;
    case 606:
      meaning = "the gateway does not let this host do that";
      break;
    case kConflict:
    case kConflictWithOthers:
      meaning = "the outside port is another host's";
      break;
    case kOnlyPermanentLeases:
      meaning =
          "the gateway makes only mappings that stay for good, which would outlive a program "
          "that was killed";
      break;
    case 728:
      meaning = "the gateway has no room for another mapping";
      break;
    default:
      break;
  }
  const char* name = strupnperror(code);
  const std::string text = fmt::format("{} ({})", name != nullptr ? name : "UPnP error", code);
  return meaning.empty() ? text : fmt::format("{}: {}", text, meaning);
}

Igd::Igd(const net::AddressBytes& gateway, const net::AddressBytes& own)
    : gateway_(address_text(gateway)), own_(address_text(own)) {}

std::optional<Igd::Found> Igd::at(const std::string& description_url) const {
  UPNPUrls urls{};
  const std::unique_ptr<UPNPUrls, void (*)(UPNPUrls*)> free_urls(&urls, FreeUPNPUrls);
  const auto data = std::make_unique<IGDdatas>();
  std::array<char, 64> own{};
  if (UPNP_GetIGDFromUrl(description_url.c_str(), &urls, data.get(), own.data(), own.size()) != 1 ||
      urls.controlURL == nullptr) {
    return std::nullopt;
  }
  const std::string service = data->first.servicetype;
  const bool maps = service.find(":WANIPConnection:") != std::string::npos ||
                    service.find(":WANPPPConnection:") != std::string::npos;
  // Its description may name another host, too.
  if (!maps || host_of_url(urls.controlURL) != gateway_) return std::nullopt;
  return Found{.control_url = urls.controlURL, .service_type = service, .own = own.data()};
}

bool Igd::find() {
  if (found_) return true;
  int error = 0;
  const std::unique_ptr<UPNPDev, FreeDevices> devices(
      upnpDiscover(kSearchMs, own_.c_str(), nullptr, UPNP_LOCAL_PORT_ANY, 0, kHops, &error));
  for (const UPNPDev* each = devices.get(); each != nullptr && !found_; each = each->pNext) {
    if (each->descURL == nullptr || host_of_url(each->descURL) != gateway_) continue;
    found_ = at(each->descURL);
  }
  return found_.has_value();
}

std::optional<net::AddressBytes> Igd::outside_address() {
  std::array<char, 64> text{};
  if (UPNP_GetExternalIPAddress(found_->control_url.c_str(), found_->service_type.c_str(),
                                text.data()) != UPNPCOMMAND_SUCCESS) {
    return std::nullopt;
  }
  return net::parse_address(text.data());
}

Igd::What Igd::look() {
  if (!find()) return Silent{};
  const auto outside = outside_address();
  if (!outside) {
    found_.reset();  // it may have another port after a restart
    if (!find()) return Silent{};
  }
  Alive alive{.outside = outside ? outside : outside_address()};
  for (const auto& [port, outside_port] : held_) {
    if (!leads_here(port, outside_port)) alive.forgot = true;
  }
  return alive;
}

int Igd::add(const Map& wanted, std::uint16_t outside_port) {
  return UPNP_AddPortMapping(found_->control_url.c_str(), found_->service_type.c_str(),
                             std::to_string(outside_port).c_str(),
                             std::to_string(wanted.port.number).c_str(), found_->own.c_str(),
                             kIgdDescription, upper_name(wanted.port.transport), nullptr,
                             std::to_string(wanted.lifetime.count()).c_str());
}

Igd::What Igd::map(const Map& wanted) {
  if (!find()) return Silent{};
  std::uint16_t outside_port = wanted.wish ? wanted.wish->port : wanted.port.number;
  int code = add(wanted, outside_port);
  for (int i = 1; i < kMostOutsidePorts && (code == kConflict || code == kConflictWithOthers);
       ++i) {
    outside_port = random_port();
    code = add(wanted, outside_port);
  }
  if (code != UPNPCOMMAND_SUCCESS) return failure(code);
  held_[wanted.port] = outside_port;
  const auto outside = outside_address();
  if (!outside) return Refused{"the gateway does not say its outside address"};
  return Granted{.outside = {*outside, outside_port}, .lifetime = wanted.lifetime};
}

bool Igd::leads_here(const Port& inside, std::uint16_t outside_port) {
  std::array<char, 64> client{};
  std::array<char, 16> port{};
  std::array<char, 128> description{};
  std::array<char, 16> enabled{};
  std::array<char, 32> lease{};
  const int code = UPNP_GetSpecificPortMappingEntry(
      found_->control_url.c_str(), found_->service_type.c_str(),
      std::to_string(outside_port).c_str(), upper_name(inside.transport), nullptr, client.data(),
      port.data(), description.data(), enabled.data(), lease.data());
  return code == UPNPCOMMAND_SUCCESS && found_->own == client.data() &&
         parse_port(port.data()) == inside.number;
}

Igd::What Igd::remove(const Port& inside, std::uint16_t outside_port) {
  if (!leads_here(inside, outside_port)) return Removed{};  // or it is nobody's, or another host's
  const int code = UPNP_DeletePortMapping(found_->control_url.c_str(), found_->service_type.c_str(),
                                          std::to_string(outside_port).c_str(),
                                          upper_name(inside.transport), nullptr);
  if (code == UPNPCOMMAND_SUCCESS || code == kNoSuchEntry) return Removed{};
  return failure(code);
}

Igd::What Igd::unmap(const Unmap& wanted) {
  const auto held = held_.find(wanted.port);
  std::optional<std::uint16_t> outside_port = wanted.outside_port;
  if (!outside_port && held != held_.end()) outside_port = held->second;
  if (held != held_.end()) held_.erase(held);
  if (!find()) return Silent{};
  if (outside_port) return remove(wanted.port, *outside_port);
  What what = Removed{};
  for (const ListedMapping& each : list()) {
    if (each.inside != wanted.port || each.client != found_->own) continue;
    if (each.description != kIgdDescription) continue;
    what = remove(wanted.port, each.outside_port);
    if (!std::holds_alternative<Removed>(what)) break;
  }
  return what;
}

std::vector<ListedMapping> Igd::list() {
  std::vector<ListedMapping> mappings;
  if (!find()) return mappings;
  for (int index = 0; index < kMaxListedMappings; ++index) {
    std::array<char, 16> outside_port{};
    std::array<char, 64> client{};
    std::array<char, 16> port{};
    std::array<char, 16> transport{};
    std::array<char, 128> description{};
    std::array<char, 16> enabled{};
    std::array<char, 128> peer{};
    std::array<char, 32> lease{};
    const int code = UPNP_GetGenericPortMappingEntry(
        found_->control_url.c_str(), found_->service_type.c_str(), std::to_string(index).c_str(),
        outside_port.data(), client.data(), port.data(), transport.data(), description.data(),
        enabled.data(), peer.data(), lease.data());
    if (code != UPNPCOMMAND_SUCCESS) break;
    const auto outside = parse_port(outside_port.data());
    const auto inside = parse_port(port.data());
    if (!outside || !inside) continue;
    const bool udp = std::string_view(transport.data()) == "UDP";
    mappings.push_back({.inside = {udp ? Transport::udp : Transport::tcp, *inside},
                        .outside_port = *outside,
                        .client = printable(client.data()),
                        .description = printable(description.data()),
                        .lease_s = printable(lease.data())});
  }
  return mappings;
}

}  // namespace ptrain::punch
