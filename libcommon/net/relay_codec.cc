#include "libcommon/net/relay_codec.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/net/relay_fields.h"
#include "libcommon/wire/bounded_reader.h"
#include "schemas/relay.capnp.h"

namespace ptrain::net {
namespace {

constexpr std::uint8_t kSubjects = 3;

unsigned count(std::size_t size, std::size_t limit) {
  if (size > limit) {
    throw Error(ErrorKind::internal, fmt::format("a list of {}, at most {} allowed", size, limit));
  }
  return static_cast<unsigned>(size);
}

template <class List>
void require_at_most(const List& list, std::size_t limit, const char* what) {
  if (list.size() > limit) {
    throw wire::UnwelcomeValue{fmt::format("{} {}, at most {} allowed", list.size(), what, limit)};
  }
}

// ---- What both directions use.

void write(const SignedRecord& from, schema::SignedRecord::Builder to) {
  auto record = to.initRecord(count(from.record.size(), kMaxRecordBytes));
  std::ranges::transform(from.record, record.begin(),
                         [](std::byte b) { return std::to_integer<std::uint8_t>(b); });
  write_bytes(to.initSignature(kSignatureBytes), from.signature);
}

SignedRecord read(schema::SignedRecord::Reader from) {
  SignedRecord result;
  const auto record = from.getRecord();
  require_at_most(record, kMaxRecordBytes, "bytes of a record");
  result.signature = read_signature(from.getSignature());
  const auto bytes = std::as_bytes(std::span(record.begin(), record.size()));
  result.record.assign(bytes.begin(), bytes.end());
  return result;
}

void write(const Membership& from, schema::Membership::Builder to) {
  write_bytes(to.initRunKey(kKeyBytes), from.run_key);
  to.setRole(bounded(from.role, kMaxRoleChars));
}

Membership read(schema::Membership::Reader from) {
  return {.run_key = read_key(from.getRunKey(), "run key"), .role = read_role(from.getRole())};
}

void write(const Place& from, schema::Place::Builder to) {
  if (from == Place{}) return;
  write_bytes(to.initPeerKey(kKeyBytes), from.peer_key);
  to.setRole(bounded(from.role, kMaxRoleChars));
}

Place read(schema::Place::Reader from) {
  return {.peer_key = read_key(from.getPeerKey(), "peer key"), .role = read_role(from.getRole())};
}

// As read(), and nothing at all means: before all.
Place read_start(schema::Place::Reader from) {
  return from.getPeerKey().size() == 0 && from.getRole().size() == 0 ? Place{} : read(from);
}

void write(const Revocation& from, schema::Revocation::Builder to) {
  write_bytes(to.initRunKey(kKeyBytes), from.run_key);
  write_bytes(to.initPeerKey(kKeyBytes), from.peer_key);
  write_bytes(to.initSignature(kSignatureBytes), from.signature);
}

Revocation read(schema::Revocation::Reader from) {
  return {.run_key = read_key(from.getRunKey(), "run key"),
          .peer_key = read_key(from.getPeerKey(), "peer key"),
          .signature = read_signature(from.getSignature())};
}

void write(const answer::PathToken& from, schema::Answer::PathToken::Builder to) {
  write(from.to, to.initTo());
  to.setPath(from.path);
  to.setToken(bounded(from.token, kMaxTokenChars));
  if (from.relay) write_bytes(to.initRelay(kKeyBytes), *from.relay);
}

answer::PathToken read(schema::Answer::PathToken::Reader from) {
  answer::PathToken token{.to = read(from.getTo()),
                          .path = from.getPath(),
                          .token = read_text(from.getToken(), "token", kMaxTokenChars)};
  if (from.getRelay().size() > 0) token.relay = read_key(from.getRelay(), "relay key");
  return token;
}

using TokenList = capnp::List<schema::Answer::PathToken>;

std::vector<answer::PathToken> read(TokenList::Reader from) {
  require_at_most(from, kMaxPathsPerIntroduction, "tokens");
  std::vector<answer::PathToken> tokens;
  for (const auto token : from) tokens.push_back(read(token));
  return tokens;
}

void write(const std::vector<answer::PathToken>& from, TokenList::Builder to) {
  for (unsigned i = 0; i < to.size(); ++i) write(from[i], to[i]);
}

// ---- Requests.

struct RequestWriter {
  schema::Request::Builder to;

  void operator()(const request::Register& from) { write(from.record, to.initRegister()); }
  void operator()(const request::Renew& from) {
    auto renewal = to.initRenew();
    write(from.as, renewal.initAs());
    renewal.setNote(bounded(from.note, kMaxNoteChars));
  }
  void operator()(const request::Leave& from) { write(from.as, to.initLeave()); }
  void operator()(const request::LookUp& from) {
    auto look_up = to.initLookUp();
    write(from.as, look_up.initAs());
    look_up.setRole(bounded(from.role, kMaxRoleChars));
    write(from.after, look_up.initAfter());
  }
  void operator()(const request::Watch& from) {
    auto watch = to.initWatch();
    write(from.as, watch.initAs());
    watch.setOn(from.on);
  }
  void operator()(const request::Introduce& from) {
    auto introduce = to.initIntroduce();
    write(from.as, introduce.initAs());
    write(from.to, introduce.initTo());
    introduce.setPaths(from.paths);
  }
  void operator()(const request::Survey& from) {
    auto survey = to.initSurvey();
    survey.setSubject(static_cast<std::uint8_t>(from.subject));
    survey.setAfter(from.after);
  }
  void operator()(const request::Mirror& from) {
    auto mirror = to.initMirror();
    mirror.setSince(from.since);
    mirror.setHoldMs(from.hold_ms);
    mirror.setListing(from.listing);
  }
  void operator()(const request::Forward& from) {
    auto forward = to.initForward();
    write_bytes(forward.initRunKey(kKeyBytes), from.run_key);
    write(from.to, forward.initTo());
    if (from.record) write(*from.record, forward.initRecord());
    write(from.tokens, forward.initTokens(count(from.tokens.size(), kMaxPathsPerIntroduction)));
  }
  void operator()(const request::Claim& from) {
    auto claim = to.initClaim();
    write(from.as, claim.initAs());
    claim.setName(bounded(from.name, kMaxClaimNameChars));
    claim.setNumber(from.number);
    claim.setHoldMs(from.hold_ms);
  }
  void operator()(const request::Revoke& from) { write(from.revocation, to.initRevoke()); }
};

request::Claim read(schema::Request::Claim::Reader from) {
  return {.as = read(from.getAs()),
          .name = read_role(from.getName()),
          .number = from.getNumber(),
          .hold_ms = from.getHoldMs()};
}

request::LookUp read(schema::Request::LookUp::Reader from) {
  request::LookUp look_up{.as = read(from.getAs()), .after = read_start(from.getAfter())};
  if (from.getRole().size() > 0) look_up.role = read_role(from.getRole());
  return look_up;
}

request::Introduce read(schema::Request::Introduction::Reader from) {
  if (from.getPaths() < 1 || from.getPaths() > kMaxPathsPerIntroduction) {
    throw wire::UnwelcomeValue{
        fmt::format("{} paths wanted, 1 to {} allowed", from.getPaths(), kMaxPathsPerIntroduction)};
  }
  return {.as = read(from.getAs()), .to = read(from.getTo()), .paths = from.getPaths()};
}

request::Survey read(schema::Request::Survey::Reader from) {
  if (from.getSubject() >= kSubjects) {
    throw wire::UnwelcomeValue{fmt::format("subject {} does not exist", from.getSubject())};
  }
  return {.subject = static_cast<request::Subject>(from.getSubject()), .after = from.getAfter()};
}

request::Forward read(schema::Request::Forward::Reader from) {
  request::Forward forward{.run_key = read_key(from.getRunKey(), "run key"),
                           .to = read(from.getTo()),
                           .record = {},
                           .tokens = read(from.getTokens())};
  if (from.hasRecord()) forward.record = read(from.getRecord());
  return forward;
}

std::string other_version(std::uint16_t version) {
  return fmt::format("relay protocol version {}, ours is {}", version, kRelayProtocolVersion);
}

template <class Reader>
void require_ours(const Reader& from) {
  if (from.getMagic() != kRelayMagic) {
    throw wire::UnwelcomeValue{
        fmt::format("magic {:#x}, expected {:#x}", from.getMagic(), kRelayMagic)};
  }
  if (from.getVersion() != kRelayProtocolVersion) {
    throw wire::UnwelcomeValue{other_version(from.getVersion())};
  }
}

decltype(Request::body) read_body(schema::Request::Reader from) {
  switch (from.which()) {
    case schema::Request::REGISTER:
      return request::Register{read(from.getRegister())};
    case schema::Request::RENEW:
      return request::Renew{read(from.getRenew().getAs()),
                            read_text(from.getRenew().getNote(), "note", kMaxNoteChars)};
    case schema::Request::LEAVE:
      return request::Leave{read(from.getLeave())};
    case schema::Request::LOOK_UP:
      return read(from.getLookUp());
    case schema::Request::WATCH:
      return request::Watch{read(from.getWatch().getAs()), from.getWatch().getOn()};
    case schema::Request::INTRODUCE:
      return read(from.getIntroduce());
    case schema::Request::SURVEY:
      return read(from.getSurvey());
    case schema::Request::MIRROR:
      return request::Mirror{.since = from.getMirror().getSince(),
                             .hold_ms = from.getMirror().getHoldMs(),
                             .listing = from.getMirror().getListing()};
    case schema::Request::FORWARD:
      return read(from.getForward());
    case schema::Request::CLAIM:
      return read(from.getClaim());
    case schema::Request::REVOKE:
      return request::Revoke{read(from.getRevoke())};
  }
  throw wire::UnwelcomeValue{"a kind of request that does not exist"};
}

Request read(schema::Request::Reader from) {
  require_ours(from);
  if (from.getId() == 0) throw wire::UnwelcomeValue{"a request without a number"};
  return {.id = from.getId(), .body = read_body(from)};
}

// ---- Answers.

struct AnswerWriter {
  schema::Answer::Builder to;

  void operator()(const answer::Refused& from) {
    auto refused = to.initRefused();
    refused.setReason(static_cast<std::uint16_t>(from.reason));
    refused.setText(bounded(from.text, kMaxRefusalChars));
    refused.setRetryMs(from.retry_ms);
    refused.setAbsent(from.absent);
  }
  void operator()(const answer::Granted& from) {
    auto granted = to.initGranted();
    granted.setLeaseMs(from.lease_ms);
    granted.setRegistryVersion(from.registry_version);
    granted.setObservedHost(bounded(from.observed_host, kMaxHostChars));
    auto ports = granted.initEchoPorts(count(from.echo_ports.size(), kEchoPorts));
    for (unsigned i = 0; i < ports.size(); ++i) ports.set(i, from.echo_ports[i]);
  }
  void operator()(const answer::Left&) { to.setLeft(); }
  void operator()(const answer::Found& from) {
    auto found = to.initFound();
    auto records = found.initRecords(count(from.records.size(), kMaxRecordsPerPage));
    for (unsigned i = 0; i < records.size(); ++i) write(from.records[i], records[i]);
    found.setComplete(from.complete);
    found.setRegistryVersion(from.registry_version);
  }
  void operator()(const answer::Introduced& from) {
    auto introduced = to.initIntroduced();
    write(from.record, introduced.initRecord());
    introduced.setAsker(from.asker);
    introduced.setStartMs(from.start_ms);
    write(from.tokens, introduced.initTokens(count(from.tokens.size(), kMaxPathsPerIntroduction)));
  }
  void operator()(const answer::Appeared& from) {
    auto appeared = to.initAppeared();
    write(from.record, appeared.initRecord());
    appeared.setRegistryVersion(from.registry_version);
  }
  void operator()(const answer::Departed& from) {
    auto departed = to.initDeparted();
    write_bytes(departed.initRunKey(kKeyBytes), from.run_key);
    write(from.who, departed.initWho());
    departed.setRegistryVersion(from.registry_version);
  }
  void operator()(const answer::PathToken& from) { write(from, to.initFresh()); }
  void operator()(const answer::Farewell&) { to.setFarewell(); }
  void operator()(const answer::Surveyed& from) {
    auto surveyed = to.initSurveyed();
    auto lines = surveyed.initLines(count(from.lines.size(), kMaxSurveyLines));
    for (unsigned i = 0; i < lines.size(); ++i) {
      lines.set(i, bounded(from.lines[i], kMaxSurveyLineChars));
    }
    surveyed.setNext(from.next);
  }
  void operator()(const answer::Mirrored& from) {
    auto mirrored = to.initMirrored();
    mirrored.setAfresh(from.afresh);
    auto records = mirrored.initRecords(count(from.records.size(), kMaxRecordsPerPage));
    for (unsigned i = 0; i < records.size(); ++i) write(from.records[i], records[i]);
    auto gone = mirrored.initGone(count(from.gone.size(), kMaxGonePerPage));
    for (unsigned i = 0; i < gone.size(); ++i) {
      write_bytes(gone[i].initRunKey(kKeyBytes), from.gone[i].run_key);
      write(from.gone[i].who, gone[i].initWho());
    }
    mirrored.setUpTo(from.up_to);
    mirrored.setComplete(from.complete);
    mirrored.setLatest(from.latest);
    auto revocations =
        mirrored.initRevocations(count(from.revocations.size(), kMaxRevocationsPerPage));
    for (unsigned i = 0; i < revocations.size(); ++i) write(from.revocations[i], revocations[i]);
  }
  void operator()(const answer::Forwarded&) { to.setForwarded(); }
  void operator()(const answer::Claimed& from) {
    auto claimed = to.initClaimed();
    claimed.setGranted(from.granted);
    claimed.setNumber(from.number);
    write(from.holder, claimed.initHolder());
    claimed.setHoldMs(from.hold_ms);
  }
  void operator()(const answer::Revoked& from) { write(from.revocation, to.initRevoked()); }
};

answer::Refused read(schema::Answer::Refused::Reader from) {
  if (from.getReason() >= kRefusals) {
    throw wire::UnwelcomeValue{fmt::format("refusal {} does not exist", from.getReason())};
  }
  return {.reason = static_cast<Refusal>(from.getReason()),
          .text = read_text(from.getText(), "refusal", kMaxRefusalChars),
          .retry_ms = from.getRetryMs(),
          .absent = from.getAbsent()};
}

answer::Found read(schema::Answer::Found::Reader from) {
  answer::Found found{
      .records = {}, .complete = from.getComplete(), .registry_version = from.getRegistryVersion()};
  require_at_most(from.getRecords(), kMaxRecordsPerPage, "records");
  for (const auto record : from.getRecords()) found.records.push_back(read(record));
  return found;
}

answer::Introduced read(schema::Answer::Introduced::Reader from) {
  return {.record = read(from.getRecord()),
          .asker = from.getAsker(),
          .start_ms = from.getStartMs(),
          .tokens = read(from.getTokens())};
}

answer::Surveyed read(schema::Answer::Surveyed::Reader from) {
  answer::Surveyed surveyed{.lines = {}, .next = from.getNext()};
  require_at_most(from.getLines(), kMaxSurveyLines, "lines");
  for (const auto line : from.getLines()) {
    surveyed.lines.push_back(read_text(line, "line", kMaxSurveyLineChars));
  }
  return surveyed;
}

answer::Mirrored read(schema::Answer::Mirrored::Reader from) {
  answer::Mirrored mirrored{.afresh = from.getAfresh(),
                            .records = {},
                            .gone = {},
                            .up_to = from.getUpTo(),
                            .complete = from.getComplete(),
                            .latest = from.getLatest()};
  require_at_most(from.getRecords(), kMaxRecordsPerPage, "records");
  for (const auto record : from.getRecords()) mirrored.records.push_back(read(record));
  require_at_most(from.getGone(), kMaxGonePerPage, "members that are gone");
  for (const auto gone : from.getGone()) {
    mirrored.gone.push_back({read_key(gone.getRunKey(), "run key"), read(gone.getWho())});
  }
  require_at_most(from.getRevocations(), kMaxRevocationsPerPage, "revocations");
  for (const auto revocation : from.getRevocations()) {
    mirrored.revocations.push_back(read(revocation));
  }
  return mirrored;
}

decltype(Answer::body) read_body(schema::Answer::Reader from) {
  switch (from.which()) {
    case schema::Answer::REFUSED:
      return read(from.getRefused());
    case schema::Answer::GRANTED: {
      const auto from_granted = from.getGranted();
      answer::Granted granted{from_granted.getLeaseMs(), from_granted.getRegistryVersion(),
                              read_text(from_granted.getObservedHost(), "host", kMaxHostChars)};
      require_at_most(from_granted.getEchoPorts(), kEchoPorts, "echo ports");
      for (const std::uint16_t port : from_granted.getEchoPorts()) {
        granted.echo_ports.push_back(port);
      }
      return granted;
    }
    case schema::Answer::LEFT:
      return answer::Left{};
    case schema::Answer::FOUND:
      return read(from.getFound());
    case schema::Answer::INTRODUCED:
      return read(from.getIntroduced());
    case schema::Answer::APPEARED:
      return answer::Appeared{read(from.getAppeared().getRecord()),
                              from.getAppeared().getRegistryVersion()};
    case schema::Answer::DEPARTED: {
      const auto departed = from.getDeparted();
      return answer::Departed{read_key(departed.getRunKey(), "run key"), read(departed.getWho()),
                              departed.getRegistryVersion()};
    }
    case schema::Answer::FRESH:
      return read(from.getFresh());
    case schema::Answer::FAREWELL:
      return answer::Farewell{};
    case schema::Answer::SURVEYED:
      return read(from.getSurveyed());
    case schema::Answer::MIRRORED:
      return read(from.getMirrored());
    case schema::Answer::FORWARDED:
      return answer::Forwarded{};
    case schema::Answer::CLAIMED: {
      const auto claimed = from.getClaimed();
      return answer::Claimed{.granted = claimed.getGranted(),
                             .number = claimed.getNumber(),
                             .holder = read_start(claimed.getHolder()),
                             .hold_ms = claimed.getHoldMs()};
    }
    case schema::Answer::REVOKED:
      return answer::Revoked{read(from.getRevoked())};
  }
  throw wire::UnwelcomeValue{"a kind of answer that does not exist"};
}

Answer read(schema::Answer::Reader from) {
  if (from.getMagic() == kRelayMagic && from.getVersion() != kRelayProtocolVersion &&
      from.which() == schema::Answer::REFUSED) {
    return {.id = from.getId(),
            .body = answer::Refused{.reason = Refusal::version,
                                    .text = other_version(from.getVersion())}};
  }
  require_ours(from);
  return {.id = from.getId(), .body = read_body(from)};
}

template <class Root, class Writer, class Message>
std::vector<std::byte> encode_as(const Message& message, std::size_t max_bytes,
                                 std::uint16_t version = kRelayProtocolVersion) {
  capnp::MallocMessageBuilder builder;
  auto root = builder.initRoot<Root>();
  root.setMagic(kRelayMagic);
  root.setVersion(version);
  root.setId(message.id);
  std::visit(Writer{root}, message.body);
  std::vector<std::byte> bytes = flat_bytes(builder);
  if (bytes.size() > max_bytes) {
    throw Error(ErrorKind::internal, fmt::format("a relay message of {} bytes, at most {} allowed",
                                                 bytes.size(), max_bytes));
  }
  return bytes;
}

}  // namespace

std::string_view name_of(Refusal reason) {
  constexpr std::array<std::string_view, kRefusals> kNames{
      "malformed",    "busy",        "full",    "not_a_member", "outdated", "forged",
      "unknown_peer", "not_allowed", "expired", "revoked",      "version"};
  return kNames[static_cast<std::size_t>(reason)];
}

std::vector<std::byte> encode(const Request& request) {
  return encode_as<schema::Request, RequestWriter>(request, kMaxRequestBytes);
}

std::vector<std::byte> encode(const Answer& answer) {
  return encode_as<schema::Answer, AnswerWriter>(answer, kMaxAnswerBytes);
}

std::vector<std::byte> encode_refusal(const Answer& refusal, std::uint16_t version) {
  return encode_as<schema::Answer, AnswerWriter>(refusal, kMaxAnswerBytes, version);
}

std::optional<ForeignRequest> foreign_request(std::span<const std::byte> bytes) {
  const auto read_head = [](schema::Request::Reader from) {
    if (from.getMagic() != kRelayMagic || from.getVersion() == kRelayProtocolVersion ||
        from.getVersion() == 0) {
      throw wire::UnwelcomeValue{"no request of another version"};
    }
    return ForeignRequest{.version = from.getVersion(), .id = from.getId()};
  };
  const auto head =
      wire::read_bounded<schema::Request>(bytes, kMaxRequestBytes, "request", read_head);
  const auto* foreign = std::get_if<ForeignRequest>(&head);
  return foreign == nullptr ? std::nullopt : std::optional(*foreign);
}

std::variant<Request, wire::Malformed> decode_request(std::span<const std::byte> bytes) {
  return wire::read_bounded<schema::Request>(
      bytes, kMaxRequestBytes, "request",
      [](schema::Request::Reader request) { return read(request); });
}

std::variant<Answer, wire::Malformed> decode_answer(std::span<const std::byte> bytes) {
  return wire::read_bounded<schema::Answer>(
      bytes, kMaxAnswerBytes, "answer", [](schema::Answer::Reader answer) { return read(answer); });
}

}  // namespace ptrain::net
