#include "tools/relay/control/state_file.h"

#include <algorithm>
#include <cstring>

#include <capnp/message.h>
#include <capnp/serialize.h>
#include <fmt/format.h>
#include <kj/exception.h>

#include "libcommon/base/error.h"
#include "libcommon/base/sha256.h"
#include "libcommon/net/relay_codec.h"
#include "libcommon/net/relay_fields.h"
#include "libcommon/os/read_file.h"
#include "libcommon/wire/bounded_reader.h"
#include "schemas/relay_state.capnp.h"

namespace ptrain::relay {
namespace {

using std::chrono::milliseconds;

constexpr std::string_view kMagic = "ptrelay1";
constexpr std::uint16_t kStateVersion = 1;
constexpr std::size_t kHeadBytes = kMagic.size() + sizeof(Sha256Digest);

SavedMember read_member(schema::RelayState::Member::Reader from) {
  SavedMember member;
  const auto data = from.getRecord();
  const auto record = std::as_bytes(std::span(data.begin(), data.size()));
  const auto signature = from.getSignature();
  if (record.size() > net::kMaxRecordBytes || signature.size() != member.record.signature.size()) {
    throw wire::UnwelcomeValue{"a record or a signature of the wrong size"};
  }
  member.record.record.assign(record.begin(), record.end());
  std::ranges::copy(signature, member.record.signature.begin());
  member.host = net::read_text(from.getHost(), "host", net::kMaxHostChars);
  member.lease = milliseconds(from.getLeaseMs());
  return member;
}

SavedClaim read_claim(schema::RelayState::Claim::Reader from) {
  SavedClaim claim{.run_key = net::read_key(from.getRunKey(), "run key"),
                   .name = net::read_role(from.getName()),
                   .number = from.getNumber()};
  if (from.getHolderKey().size() == 0) return claim;
  claim.holder = {.peer_key = net::read_key(from.getHolderKey(), "holder key"),
                  .role = net::read_role(from.getHolderRole())};
  claim.address = net::read_text(from.getHost(), "host", net::kMaxHostChars);
  claim.hold = milliseconds(from.getHoldMs());
  return claim;
}

SavedState read_state(schema::RelayState::Reader from) {
  if (from.getVersion() != kStateVersion) {
    throw wire::UnwelcomeValue{
        fmt::format("version {}, this program reads {}", from.getVersion(), kStateVersion)};
  }
  SavedState state{.written = {.wall = milliseconds(from.getWallMs()),
                               .boot = milliseconds(from.getBootMs()),
                               .boot_id = from.getBootId()},
                   .highest_version = from.getHighestVersion(),
                   .members = {}};
  state.closed = from.getClosed();
  state.claim_floor = from.getClaimFloor();
  for (const auto member : from.getMembers()) state.members.push_back(read_member(member));
  for (const auto revocation : from.getRevocations()) {
    state.revocations.push_back({.run_key = net::read_key(revocation.getRunKey(), "run key"),
                                 .peer_key = net::read_key(revocation.getPeerKey(), "peer key"),
                                 .signature = net::read_signature(revocation.getSignature())});
  }
  for (const auto claim : from.getClaims()) {
    state.claims.push_back(read_claim(claim));
  }
  return state;
}

void write(const SavedClaim& from, schema::RelayState::Claim::Builder to) {
  net::write_bytes(to.initRunKey(net::kKeyBytes), from.run_key);
  to.setName(from.name);
  to.setNumber(from.number);
  if (from.holder.role.empty()) return;
  net::write_bytes(to.initHolderKey(net::kKeyBytes), from.holder.peer_key);
  to.setHolderRole(from.holder.role);
  to.setHost(from.address);
  to.setHoldMs(static_cast<std::uint32_t>(std::chrono::ceil<milliseconds>(from.hold).count()));
}

}  // namespace

SavedState saved_state(const Registry& registry, const Moment& moment, TimePoint now) {
  SavedState state{.written = moment, .highest_version = registry.highest_version(), .members = {}};
  state.members.reserve(registry.members());
  registry.for_each([&](const VerifyKey&, const net::Place&, const Registration& member) {
    state.members.push_back({.record = member.record,
                             .host = member.host,
                             .lease = std::max(Duration::zero(), member.expires - now)});
  });
  registry.for_each_revocation(
      [&](const net::Revocation& revocation) { state.revocations.push_back(revocation); });
  const TimePoint boot(moment.boot);
  state.claim_floor = registry.claims().floor_at(boot);
  registry.claims().for_each(
      [&](const VerifyKey& run_key, const std::string& name, const Claims::Held& held) {
        state.claims.push_back({.run_key = run_key,
                                .name = name,
                                .number = held.number,
                                .holder = held.holder,
                                .address = held.address,
                                .hold = std::max(Duration::zero(), held.until - boot)});
      });
  return state;
}

std::vector<std::byte> encode(const SavedState& state) {
  capnp::MallocMessageBuilder message;
  auto to = message.initRoot<schema::RelayState>();
  to.setVersion(kStateVersion);
  to.setWallMs(state.written.wall.count());
  to.setBootMs(state.written.boot.count());
  to.setBootId(state.written.boot_id);
  to.setHighestVersion(state.highest_version);
  auto members = to.initMembers(static_cast<unsigned>(state.members.size()));
  for (unsigned i = 0; i < members.size(); ++i) {
    const SavedMember& from = state.members[i];
    auto record = members[i].initRecord(static_cast<unsigned>(from.record.record.size()));
    std::memcpy(record.begin(), from.record.record.data(), from.record.record.size());
    net::write_bytes(members[i].initSignature(static_cast<unsigned>(from.record.signature.size())),
                     from.record.signature);
    members[i].setHost(from.host);
    members[i].setLeaseMs(
        static_cast<std::uint32_t>(std::chrono::ceil<milliseconds>(from.lease).count()));
  }
  auto revocations = to.initRevocations(static_cast<unsigned>(state.revocations.size()));
  for (unsigned i = 0; i < revocations.size(); ++i) {
    const net::Revocation& from = state.revocations[i];
    net::write_bytes(revocations[i].initRunKey(net::kKeyBytes), from.run_key);
    net::write_bytes(revocations[i].initPeerKey(net::kKeyBytes), from.peer_key);
    net::write_bytes(revocations[i].initSignature(net::kSignatureBytes), from.signature);
  }
  auto claims = to.initClaims(static_cast<unsigned>(state.claims.size()));
  for (unsigned i = 0; i < claims.size(); ++i) {
    write(state.claims[i], claims[i]);
  }
  to.setClosed(state.closed);
  to.setClaimFloor(state.claim_floor);
  const std::vector<std::byte> body = net::flat_bytes(message);
  const Sha256Digest digest = sha256(body);
  std::vector<std::byte> bytes(kHeadBytes + body.size());
  auto at = std::ranges::copy(std::as_bytes(std::span(kMagic)), bytes.begin()).out;
  at = std::ranges::copy(digest, at).out;
  std::ranges::copy(body, at);
  return bytes;
}

std::variant<SavedState, wire::Malformed> decode_state(std::span<const std::byte> bytes) {
  if (bytes.size() < kHeadBytes ||
      !std::ranges::equal(bytes.first(kMagic.size()), std::as_bytes(std::span(kMagic)))) {
    return wire::Malformed{"it is no registry of a relay"};
  }
  const auto body = bytes.subspan(kHeadBytes);
  if (!std::ranges::equal(bytes.subspan(kMagic.size(), sizeof(Sha256Digest)), sha256(body))) {
    return wire::Malformed{"it was cut short or changed"};
  }
  // Whole, so what it says of lengths is what we wrote. Every word is looked at twice at most:
  // as part of its list, and for itself.
  std::vector<capnp::word> words(body.size() / sizeof(capnp::word));
  std::memcpy(words.data(), body.data(), words.size() * sizeof(capnp::word));
  const capnp::ReaderOptions limits{.traversalLimitInWords = 2 * words.size() + 64,
                                    .nestingLimit = wire::kMaxNesting};
  try {
    capnp::FlatArrayMessageReader message(kj::arrayPtr(words.data(), words.size()), limits);
    return read_state(message.getRoot<schema::RelayState>());
  } catch (const kj::Exception& exception) {
    return wire::Malformed{exception.getDescription().cStr()};
  } catch (wire::UnwelcomeValue& unwelcome) {
    return wire::Malformed{std::move(unwelcome.why)};
  }
}

void restore(const SavedState& state, const Moment& moment, TimePoint now, Registry& registry) {
  const Duration lease = registry.limits().lease;
  const Duration passed = elapsed(state.written, moment);
  for (const net::Revocation& revocation : state.revocations) {
    std::vector<Departure> nobody;
    if (net::is_signed(revocation)) registry.revoke(revocation, nobody);
  }
  const TimePoint boot(moment.boot);
  for (const SavedClaim& claim : state.claims) {
    const Duration left = std::min(lease, claim.hold + state_age_limit(lease) - passed);
    const bool held = claim.hold > Duration::zero() && left > Duration::zero();
    registry.claims().restore(claim.run_key, claim.name,
                              {.number = claim.number,
                               .holder = claim.holder,
                               .address = claim.address,
                               .until = held ? boot + left : TimePoint{}});
  }
  for (const SavedMember& member : state.members) {
    const Duration left = std::min(lease, member.lease + state_age_limit(lease) - passed);
    if (left <= Duration::zero()) continue;
    const auto opened = net::open(member.record);
    if (const auto* record = std::get_if<net::PeerRecord>(&opened)) {
      registry.restore(*record, member.record, member.host, now + left, now);
    }
  }
}

std::optional<SavedState> load_state(const std::filesystem::path& folder, os::Storage& storage,
                                     Log& log) {
  const std::filesystem::path path = folder / kStateName;
  if (!storage.status(path)) return std::nullopt;
  std::string why;
  try {
    const std::string text = os::read_file(storage, path, kMaxStateBytes);
    auto decoded = decode_state(std::as_bytes(std::span(text)));
    if (auto* state = std::get_if<SavedState>(&decoded)) return std::move(*state);
    why = std::get<wire::Malformed>(decoded).why;
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::corrupt) throw;
    why = error.what();
  }
  const std::filesystem::path damaged = folder / kDamagedName;
  log.warning(fmt::format("{}: {}; it is {} now, and the relay starts with nobody registered",
                          path.string(), why, damaged.string()));
  storage.rename(path, damaged);
  return std::nullopt;
}

}  // namespace ptrain::relay
