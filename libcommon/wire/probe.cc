#include "libcommon/wire/probe.h"

#include <span>
#include <string>
#include <utility>

#include <capnp/message.h>
#include <capnp/serialize.h>
#include <fmt/format.h>

#include "libcommon/wire/bounded_reader.h"
#include "schemas/probe.capnp.h"

namespace ptrain::wire {
namespace {

using std::chrono::microseconds;

Message message_of(MessageKind kind, std::uint64_t test, Buffer payload) {
  MessageName name;
  name.step = Step(test);
  name.kind = kind;
  return {.name = name, .tensor = {}, .payload = std::move(payload)};
}

Buffer bytes_of(capnp::MessageBuilder& message) {
  const kj::Array<capnp::word> words = capnp::messageToFlatArray(message);
  return Buffer::copy_of(std::as_bytes(std::span(words.begin(), words.size())));
}

std::uint64_t number_of(microseconds time) { return static_cast<std::uint64_t>(time.count()); }

ByteCount read_bytes(std::uint64_t bytes) {
  if (bytes <= kMaxProbeBudgetBytes) return ByteCount(bytes);
  throw UnwelcomeValue{fmt::format("{} bytes, at most {} allowed", bytes, kMaxProbeBudgetBytes)};
}

microseconds read_time(std::uint64_t time, microseconds most) {
  if (time <= number_of(most)) return microseconds(time);
  throw UnwelcomeValue{fmt::format("{} microseconds, at most {} allowed", time, number_of(most))};
}

void write(const ProbeLimits& from, schema::ProbeOrder::Limits::Builder to) {
  to.setBytes(from.bytes.value());
  to.setMicroseconds(number_of(from.time));
  to.setBytesPerSecond(from.rate_bytes_per_s);
}

ProbeLimits read(schema::ProbeOrder::Limits::Reader from) {
  return {.bytes = read_bytes(from.getBytes()),
          .time = read_time(from.getMicroseconds(), kMaxProbeTime),
          .rate_bytes_per_s = from.getBytesPerSecond()};
}

double read_rate(double rate) {
  if (rate >= 0 && rate <= kMaxProbeRate) return rate;
  throw UnwelcomeValue{fmt::format("{} bytes a second, 0 to {} allowed", rate, kMaxProbeRate)};
}

std::string read_text(capnp::Text::Reader from, std::size_t most) {
  if (from.size() <= most) return {from.cStr(), from.size()};
  throw UnwelcomeValue{fmt::format("a text of {} bytes, at most {} allowed", from.size(), most)};
}

std::vector<std::string> read_names(capnp::List<capnp::Text>::Reader from) {
  if (from.size() > kMaxProbeSought) {
    throw UnwelcomeValue{fmt::format("{} names, at most {} allowed", from.size(), kMaxProbeSought)};
  }
  std::vector<std::string> names;
  for (const auto& name : from) names.push_back(read_text(name, kMaxProbeNameChars));
  return names;
}

void write(const ProbeErrand& from, schema::ProbeOrder::Errand::Builder to) {
  to.setTo(from.to);
  write(from.limits, to.initLimits());
  to.setToPeer(from.to_peer);
  to.setFromPeer(from.from_peer);
  to.setBeside(from.beside);
}

ProbeErrand read(schema::ProbeOrder::Errand::Reader from) {
  return {.to = read_text(from.getTo(), kMaxProbeNameChars),
          .limits = read(from.getLimits()),
          .to_peer = from.getToPeer(),
          .from_peer = from.getFromPeer(),
          .beside = from.getBeside()};
}

void write(const ProbeRoundTrips& from, schema::ProbeReport::RoundTrips::Builder to) {
  to.setCount(from.count);
  to.setLeast(number_of(from.least));
  to.setMedian(number_of(from.median));
  to.setP99(number_of(from.p99));
  to.setJitter(number_of(from.jitter));
}

ProbeRoundTrips read(schema::ProbeReport::RoundTrips::Reader from) {
  return {.count = from.getCount(),
          .least = read_time(from.getLeast(), kMaxProbeTime),
          .median = read_time(from.getMedian(), kMaxProbeTime),
          .p99 = read_time(from.getP99(), kMaxProbeTime),
          .jitter = read_time(from.getJitter(), kMaxProbeTime)};
}

void write(const ProbeWay& from, schema::ProbeReport::Way::Builder to) {
  to.setRate(from.rate);
  to.setLow(from.low);
  to.setHigh(from.high);
  to.setCoarse(from.coarse);
  to.setSteady(from.steady);
  to.setLimitedBy(from.limited_by);
  to.setBytes(from.bytes.value());
  to.setMicroseconds(number_of(from.time));
  to.setLoadedMedian(number_of(from.loaded_median));
  to.setLoadedP99(number_of(from.loaded_p99));
}

ProbeWay read(schema::ProbeReport::Way::Reader from) {
  if (from.getLimitedBy() >= kProbeLimitNames) {
    throw UnwelcomeValue{fmt::format("limited by {}, which is nothing", from.getLimitedBy())};
  }
  return {.rate = read_rate(from.getRate()),
          .low = read_rate(from.getLow()),
          .high = read_rate(from.getHigh()),
          .coarse = read_rate(from.getCoarse()),
          .steady = from.getSteady(),
          .limited_by = from.getLimitedBy(),
          .bytes = read_bytes(from.getBytes()),
          .time = read_time(from.getMicroseconds(), kMaxProbeTime),
          .loaded_median = read_time(from.getLoadedMedian(), kMaxProbeTime),
          .loaded_p99 = read_time(from.getLoadedP99(), kMaxProbeTime)};
}

void write(const ProbeMeasured& from, schema::ProbeReport::Measured::Builder to) {
  to.setFailure(from.failure.substr(0, kMaxProbeTextBytes));
  to.setBusy(from.busy);
  to.setPath(from.path.substr(0, kMaxProbeTextBytes));
  to.setRoute(from.route);
  write(from.round_trips, to.initRoundTrips());
  write(from.to_peer, to.initToPeer());
  write(from.from_peer, to.initFromPeer());
}

ProbeMeasured read(schema::ProbeReport::Measured::Reader from) {
  return {.failure = read_text(from.getFailure(), kMaxProbeTextBytes),
          .busy = from.getBusy(),
          .path = read_text(from.getPath(), kMaxProbeTextBytes),
          .route = read_text(from.getRoute(), kMaxProbeNameChars),
          .round_trips = read(from.getRoundTrips()),
          .to_peer = read(from.getToPeer()),
          .from_peer = read(from.getFromPeer())};
}

struct OrderWriter {
  schema::ProbeOrder::Builder to;
  void operator()(const ProbeReserve& from) { write(from.limits, to.initReserve()); }
  void operator()(const ProbeEcho& from) { to.setEcho(from.number); }
  void operator()(const ProbeReceive& from) { write(from.limits, to.initReceive()); }
  void operator()(const ProbeSend& from) {
    auto send = to.initSend();
    write(from.limits, send.initLimits());
    send.setRoundTripMicroseconds(number_of(from.round_trip));
  }
  void operator()(const ProbeHalt&) { to.setHalt(); }
  void operator()(const ProbeRelease&) { to.setRelease(); }
  void operator()(const ProbeSeek& from) {
    auto names = to.initSeek(static_cast<unsigned>(from.names.size()));
    for (unsigned i = 0; i < names.size(); ++i) names.set(i, from.names[i]);
  }
  void operator()(const ProbeErrand& from) { write(from, to.initErrand()); }
};

ProbeOrder read(schema::ProbeOrder::Reader from) {
  switch (from.which()) {
    case schema::ProbeOrder::RESERVE:
      return ProbeReserve{read(from.getReserve())};
    case schema::ProbeOrder::ECHO:
      return ProbeEcho{from.getEcho()};
    case schema::ProbeOrder::RECEIVE:
      return ProbeReceive{read(from.getReceive())};
    case schema::ProbeOrder::SEND:
      return ProbeSend{
          .limits = read(from.getSend().getLimits()),
          .round_trip = read_time(from.getSend().getRoundTripMicroseconds(), kMaxProbeRoundTrip)};
    case schema::ProbeOrder::HALT:
      return ProbeHalt{};
    case schema::ProbeOrder::RELEASE:
      return ProbeRelease{};
    case schema::ProbeOrder::SEEK:
      return ProbeSeek{read_names(from.getSeek())};
    case schema::ProbeOrder::ERRAND:
      return read(from.getErrand());
  }
  throw UnwelcomeValue{"a kind of order that does not exist"};
}

struct ReportWriter {
  schema::ProbeReport::Builder to;
  void operator()(const ProbeGranted& from) { write(from.limits, to.initGranted()); }
  void operator()(const ProbeBusy& from) { to.setBusy(number_of(from.at_most)); }
  void operator()(const ProbeEcho& from) { to.setEcho(from.number); }
  void operator()(const ProbeArrived& from) {
    auto arrived = to.initArrived();
    arrived.setBytes(from.bytes.value());
    arrived.setMicroseconds(number_of(from.since));
  }
  void operator()(const ProbeSent& from) { to.setSent(from.bytes.value()); }
  void operator()(const ProbeMeasured& from) { write(from, to.initMeasured()); }
};

ProbeReport read(schema::ProbeReport::Reader from) {
  switch (from.which()) {
    case schema::ProbeReport::GRANTED:
      return ProbeGranted{read(from.getGranted())};
    case schema::ProbeReport::BUSY:
      return ProbeBusy{read_time(from.getBusy(), kMaxProbeTime)};
    case schema::ProbeReport::ECHO:
      return ProbeEcho{from.getEcho()};
    case schema::ProbeReport::ARRIVED:
      return ProbeArrived{.bytes = read_bytes(from.getArrived().getBytes()),
                          .since = read_time(from.getArrived().getMicroseconds(), kMaxProbeTime)};
    case schema::ProbeReport::SENT:
      return ProbeSent{read_bytes(from.getSent())};
    case schema::ProbeReport::MEASURED:
      return read(from.getMeasured());
  }
  throw UnwelcomeValue{"a kind of report that does not exist"};
}

template <class Value, class Root>
std::variant<Value, Malformed> read_message(const Message& message, MessageKind kind,
                                            std::size_t max_bytes, const char* what) {
  if (message.name.kind != kind) {
    return Malformed{fmt::format("a message that is no {}: {}", what, to_string(message.name))};
  }
  auto result = read_bounded<Root>(message.payload.bytes(), max_bytes, what,
                                   [](typename Root::Reader root) { return read(root); });
  if (auto* malformed = std::get_if<Malformed>(&result)) return std::move(*malformed);
  return std::get<Value>(std::move(result));
}

}  // namespace

Message probe_order_message(std::uint64_t test, const ProbeOrder& order) {
  capnp::MallocMessageBuilder message;
  std::visit(OrderWriter{message.initRoot<schema::ProbeOrder>()}, order);
  return message_of(MessageKind::probe_order, test, bytes_of(message));
}

Message probe_report_message(std::uint64_t test, const ProbeReport& report) {
  capnp::MallocMessageBuilder message;
  std::visit(ReportWriter{message.initRoot<schema::ProbeReport>()}, report);
  return message_of(MessageKind::probe_report, test, bytes_of(message));
}

Message probe_bytes_message(std::uint64_t test, Buffer bytes) {
  return message_of(MessageKind::probe_bytes, test, std::move(bytes));
}

std::variant<ProbeOrder, Malformed> read_probe_order(const Message& message) {
  return read_message<ProbeOrder, schema::ProbeOrder>(message, MessageKind::probe_order,
                                                      kMaxProbeOrderBytes, "order");
}

std::variant<ProbeReport, Malformed> read_probe_report(const Message& message) {
  return read_message<ProbeReport, schema::ProbeReport>(message, MessageKind::probe_report,
                                                        kMaxProbeReportBytes, "report");
}

}  // namespace ptrain::wire
