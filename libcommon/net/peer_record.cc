#include "libcommon/net/peer_record.h"

#include <algorithm>

#include <capnp/message.h>
#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/net/relay_fields.h"
#include "libcommon/wire/bounded_reader.h"
#include "schemas/relay.capnp.h"

namespace ptrain::net {
namespace {

// 9999-12-31T23:59:59Z
constexpr std::int64_t kLastSecond = 253402300799;

// Set before what is signed, so that this signature can be mistaken for none of another kind.
constexpr std::string_view kSignedAs = "ptrain peer record v2\n";

std::vector<std::byte> signed_text(std::span<const std::byte> record) {
  std::vector<std::byte> text(kSignedAs.size() + record.size());
  const auto rest = std::ranges::copy(std::as_bytes(std::span(kSignedAs)), text.begin()).out;
  std::ranges::copy(record, rest);
  return text;
}

Endpoint read_candidate(capnp::Text::Reader text) {
  const std::string candidate = read_text(text, "candidate", kMaxCandidateChars);
  try {
    Endpoint endpoint = parse_endpoint(candidate);
    if (endpoint.kind == EndpointKind::ipc || endpoint.key) {
      throw wire::UnwelcomeValue{
          fmt::format("candidate '{}': no address that another host can dial", candidate)};
    }
    return endpoint;
  } catch (const Error& error) {
    throw wire::UnwelcomeValue{error.what()};
  }
}

TicketRelay read_relay(capnp::Text::Reader text) {
  try {
    return parse_relay_word(read_text(text, "relay", kMaxRelayWordChars));
  } catch (const Error& error) {
    throw wire::UnwelcomeValue{error.what()};
  }
}

Grant read_grant(schema::Grant::Reader from) {
  Grant grant{.member_key = read_key(from.getMemberKey(), "member key"),
              .expires = WallTime(std::chrono::seconds(from.getExpires()))};
  // What can be written as a date: it is signed as one.
  if (from.getExpires() < 0 || from.getExpires() > kLastSecond) {
    throw wire::UnwelcomeValue{fmt::format("a grant until second {}", from.getExpires())};
  }
  grant.signature = read_signature(from.getSignature());
  return grant;
}

void write(const Grant& from, schema::Grant::Builder to) {
  write_bytes(to.initMemberKey(kKeyBytes), from.member_key);
  to.setExpires(from.expires.time_since_epoch().count());
  write_bytes(to.initSignature(kSignatureBytes), from.signature);
}

PeerRecord read_record(schema::PeerRecord::Reader from) {
  PeerRecord record;
  record.run_key = read_key(from.getRunKey(), "run key");
  record.peer_key = read_key(from.getPeerKey(), "peer key");
  record.role = read_role(from.getRole());
  record.sequence = from.getSequence();
  const auto candidates = from.getCandidates();
  if (candidates.size() > kMaxCandidates) {
    throw wire::UnwelcomeValue{
        fmt::format("{} candidates, at most {} allowed", candidates.size(), kMaxCandidates)};
  }
  for (const auto candidate : candidates) record.candidates.push_back(read_candidate(candidate));
  const auto relays = from.getRelays();
  if (relays.size() > kMaxRecordRelays) {
    throw wire::UnwelcomeValue{
        fmt::format("{} relays, at most {} allowed", relays.size(), kMaxRecordRelays)};
  }
  for (const auto relay : relays) record.relays.push_back(read_relay(relay));
  record.grant = read_grant(from.getGrant());
  return record;
}

}  // namespace

bool is_role(std::string_view text) {
  return !text.empty() && text.size() <= kMaxRoleChars && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  });
}

SignedRecord sign(const PeerRecord& record, const SigningKey& key) {
  capnp::MallocMessageBuilder message;
  auto to = message.initRoot<schema::PeerRecord>();
  write_bytes(to.initRunKey(kKeyBytes), record.run_key);
  write_bytes(to.initPeerKey(kKeyBytes), record.peer_key);
  to.setRole(record.role);
  to.setSequence(record.sequence);
  auto candidates = to.initCandidates(static_cast<unsigned>(record.candidates.size()));
  for (unsigned i = 0; i < candidates.size(); ++i) {
    candidates.set(i, to_string(record.candidates[i]));
  }
  auto relays = to.initRelays(static_cast<unsigned>(record.relays.size()));
  for (unsigned i = 0; i < relays.size(); ++i) relays.set(i, to_word(record.relays[i]));
  write(record.grant, to.initGrant());
  SignedRecord result;
  result.record = flat_bytes(message);
  if (result.record.size() > kMaxRecordBytes) {
    throw Error(ErrorKind::internal, fmt::format("a peer record of {} bytes, at most {} allowed",
                                                 result.record.size(), kMaxRecordBytes));
  }
  result.signature = key.sign(signed_text(result.record));
  return result;
}

std::variant<PeerRecord, wire::Malformed> open(const SignedRecord& signed_record) {
  auto decoded = wire::read_bounded<schema::PeerRecord>(signed_record.record, kMaxRecordBytes,
                                                        "peer record", read_record);
  const auto* record = std::get_if<PeerRecord>(&decoded);
  if (record == nullptr) return decoded;
  if (!verify(record->grant.member_key, signed_text(signed_record.record),
              signed_record.signature)) {
    return wire::Malformed{"the signature is not by the member key"};
  }
  if (!is_signed(record->grant, record->run_key)) {
    return wire::Malformed{"the issuer of the run has not granted that"};
  }
  return decoded;
}

}  // namespace ptrain::net
