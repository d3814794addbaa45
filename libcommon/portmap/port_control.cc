#include "libcommon/portmap/port_control.h"

#include <algorithm>
#include <utility>

namespace ptrain::punch {
namespace {

net::AddressBytes none_like(const net::AddressBytes& client) {
  net::AddressBytes none{};
  if (is_v4(client)) none[10] = none[11] = 0xff;
  return none;
}

// A late answer to the request before this one was to the opposite.
bool is_answer_to(bool removes, std::chrono::seconds lifetime) {
  return removes == (lifetime == std::chrono::seconds(0));
}

// Some say the outside address along with the error, and where that is worthless it says more:
// miniupnpd behind a carrier's NAT answers NO_RESOURCES.
Refused refusal(const PcpAnswer& answer) {
  Refused refused{.reason = pcp_result_text(answer.result)};
  const net::AddressBytes& outside = answer.map->outside.address;
  if (is_unspecified(outside)) return refused;
  const Worthless no_worth = worthless(outside);
  if (no_worth.why.empty()) return refused;
  refused.reason += "; " + no_worth.why;
  refused.cure = no_worth.cure;
  return refused;
}

}  // namespace

void PortControl::look(Service service, TimePoint now) {
  open({.service = service,
        .port = {},
        .packet = service == Service::pcp ? encode_pcp_announce(client_)
                                          : encode_nat_pmp_address_request(),
        .next = now},
       now);
}

void PortControl::map(Service service, const Map& wanted, TimePoint now) {
  Open request{.service = service, .port = wanted.port, .packet = {}, .next = now};
  const Outside wish = wanted.wish.value_or(Outside{none_like(client_), wanted.port.number});
  if (service == Service::pcp) {
    request.nonce = nonce_of_(wanted.port);
    request.packet = encode_pcp_map(
        client_, wanted.lifetime, {.nonce = request.nonce, .inside = wanted.port, .outside = wish});
  } else {
    request.packet = encode_nat_pmp_map(wanted.port, wish.port, wanted.lifetime);
  }
  open(std::move(request), now);
}

void PortControl::unmap(Service service, const Unmap& wanted, TimePoint now) {
  constexpr std::chrono::seconds kNoTime{0};
  Open request{.service = service, .port = wanted.port, .removes = true, .packet = {}, .next = now};
  if (service == Service::pcp) {
    request.nonce = nonce_of_(wanted.port);
    request.packet = encode_pcp_map(
        client_, kNoTime,
        {.nonce = request.nonce, .inside = wanted.port, .outside = {none_like(client_), 0}});
  } else {
    request.packet = encode_nat_pmp_map(wanted.port, 0, kNoTime);
  }
  open(std::move(request), now);
}

void PortControl::open(Open request, TimePoint now) {
  std::erase_if(open_, [&](const Open& other) {
    return other.service == request.service && other.port == request.port;
  });
  request.next = now;
  open_.push_back(std::move(request));
}

std::vector<PortControl::Packet> PortControl::due(TimePoint now) {
  std::vector<Packet> packets;
  for (Open& request : open_) {
    if (request.next > now || request.sendings == kMostSendings) continue;
    packets.push_back(request.packet);
    request.next = now + kFirstRepeat * (1 << request.sendings);
    ++request.sendings;
  }
  return packets;
}

TimePoint PortControl::next() const {
  TimePoint next = TimePoint::max();
  for (const Open& request : open_) next = std::min(next, request.next);
  return next;
}

std::vector<PortControl::Reply> PortControl::close_all(
    const std::function<std::optional<Reply>(const Open&)>& answer) {
  std::vector<Reply> replies;
  std::erase_if(open_, [&](const Open& request) {
    auto reply = answer(request);
    if (reply) replies.push_back(std::move(*reply));
    return reply.has_value();
  });
  return replies;
}

std::vector<PortControl::Reply> PortControl::silences(TimePoint now) {
  return close_all([&](const Open& request) -> std::optional<Reply> {
    if (request.sendings < kMostSendings || request.next > now) return std::nullopt;
    return Reply{request.service, request.port, request.removes, Silent{}};
  });
}

std::vector<PortControl::Reply> PortControl::unreachable() {
  return close_all([](const Open& request) -> std::optional<Reply> {
    // The error is one of a packet that was sent.
    if (request.sendings == 0) return std::nullopt;
    return Reply{request.service, request.port, request.removes, Silent{}};
  });
}

std::vector<PortControl::Reply> PortControl::close(Service service, const std::optional<Port>& port,
                                                   const AnswerTo& answer) {
  return close_all([&](const Open& request) -> std::optional<Reply> {
    if (request.service != service || request.port != port || request.sendings == 0) {
      return std::nullopt;
    }
    auto what = answer(request);
    if (!what) return std::nullopt;
    return Reply{service, port, request.removes, std::move(*what)};
  });
}

std::vector<PortControl::Reply> PortControl::receive(std::span<const std::uint8_t> bytes) {
  if (bytes.empty()) return {};
  return bytes[0] == 0 ? receive_nat_pmp(bytes) : receive_pcp(bytes);
}

std::vector<PortControl::Reply> PortControl::receive_pcp(std::span<const std::uint8_t> bytes) {
  const auto answer = decode_pcp_answer(bytes);
  if (!answer) return {};
  if (answer->result == kPcpUnsupportedVersion) {
    // Of our own version: it is what our NAT-PMP was answered with (RFC 6887, appendix A).
    const Service unknown = answer->version == kPcpVersion ? Service::nat_pmp : Service::pcp;
    return close_all([&](const Open& request) -> std::optional<Reply> {
      if (request.service != unknown || request.sendings == 0) return std::nullopt;
      return Reply{unknown, request.port, request.removes,
                   Refused{pcp_result_text(answer->result)}};
    });
  }
  if (!answer->map) {
    return close(Service::pcp, std::nullopt, [&](const Open&) -> What {
      // Somebody who knows no ANNOUNCE speaks PCP all the same.
      if (answer->result != kPcpSuccess && answer->result != kPcpUnsupportedOpcode) {
        return Refused{pcp_result_text(answer->result)};
      }
      return Alive{.epoch_s = answer->epoch_s};
    });
  }
  return take_pcp_map(*answer);
}

std::vector<PortControl::Reply> PortControl::take_pcp_map(const PcpAnswer& answer) {
  const PcpMap& map = *answer.map;
  return close(Service::pcp, map.inside, [&](const Open& request) -> What {
    if (map.nonce != request.nonce) return std::nullopt;
    if (answer.result != kPcpSuccess) return refusal(answer);
    if (!is_answer_to(request.removes, answer.lifetime)) return std::nullopt;
    if (request.removes) return Removed{};
    return Granted{.outside = map.outside, .lifetime = answer.lifetime, .epoch_s = answer.epoch_s};
  });
}

std::vector<PortControl::Reply> PortControl::receive_nat_pmp(std::span<const std::uint8_t> bytes) {
  const auto answer = decode_nat_pmp_answer(bytes);
  if (!answer) return {};
  if (answer->result == kNatPmpUnsupportedVersion) {
    // It is what our PCP was answered with.
    return close_all([&](const Open& request) -> std::optional<Reply> {
      if (request.service != Service::pcp || request.sendings == 0) return std::nullopt;
      return Reply{Service::pcp, request.port, request.removes,
                   Refused{nat_pmp_result_text(answer->result)}};
    });
  }
  if (answer->mapped) return take_mapped(*answer);
  if (answer->refused) return take_refused(*answer);
  return close(Service::nat_pmp, std::nullopt, [&](const Open&) -> What {
    if (answer->result != 0) return Refused{nat_pmp_result_text(answer->result)};
    nat_pmp_outside_ = answer->address;
    return Alive{.epoch_s = answer->epoch_s, .outside = answer->address};
  });
}

std::vector<PortControl::Reply> PortControl::take_mapped(const NatPmpAnswer& answer) {
  const NatPmpMapped& mapped = *answer.mapped;
  return close(Service::nat_pmp, mapped.inside, [&](const Open& request) -> What {
    if (answer.result != 0) return Refused{nat_pmp_result_text(answer.result)};
    if (!is_answer_to(request.removes, mapped.lifetime)) return std::nullopt;
    if (request.removes) return Removed{};
    return Granted{.outside = {nat_pmp_outside_.value_or(none_like(client_)), mapped.outside_port},
                   .lifetime = mapped.lifetime,
                   .epoch_s = answer.epoch_s};
  });
}

// It says of what kind the port was, and no more: they are answered in the order of the requests.
std::vector<PortControl::Reply> PortControl::take_refused(const NatPmpAnswer& answer) {
  for (const Open& request : open_) {
    if (request.service != Service::nat_pmp || !request.port || request.sendings == 0) continue;
    if (request.port->transport != *answer.refused) continue;
    return close(Service::nat_pmp, Port(*request.port),
                 [&](const Open&) -> What { return Refused{nat_pmp_result_text(answer.result)}; });
  }
  return {};
}

}  // namespace ptrain::punch
