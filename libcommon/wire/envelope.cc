#include "libcommon/wire/envelope.h"

#include <capnp/message.h>
#include <capnp/serialize.h>
#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/wire/bounded_reader.h"
#include "schemas/envelope.capnp.h"

namespace ptrain::wire {
namespace {

// Most headers fit; a larger one costs an allocation, nothing else.
constexpr std::size_t kScratchWords = 128;

capnp::Text::Reader text(const std::string& value, std::size_t limit = kMaxTextBytes) {
  if (value.size() > limit) {
    throw Error(
        ErrorKind::internal,
        fmt::format("text of {} bytes for a header, at most {} allowed", value.size(), limit));
  }
  return capnp::Text::Reader(value.c_str(), value.size());
}

std::string text(capnp::Text::Reader value, std::string_view field,
                 std::size_t limit = kMaxTextBytes) {
  if (value.size() > limit) {
    throw UnwelcomeValue{
        fmt::format("{} of {} bytes, at most {} allowed", field, value.size(), limit)};
  }
  return std::string(value.cStr(), value.size());
}

Urgency urgency(std::uint8_t value) {
  if (value >= kUrgencies) throw UnwelcomeValue{fmt::format("urgency {} does not exist", value)};
  return static_cast<Urgency>(value);
}

Purpose purpose(std::uint8_t value) {
  if (value >= kPurposes) throw UnwelcomeValue{fmt::format("purpose {} does not exist", value)};
  return static_cast<Purpose>(value);
}

void write(const Received& from, schema::Acknowledgement::Received::Builder to) {
  to.setNext(from.next);
  to.setCreditLimit(from.credit_limit);
}

void write(const Acknowledgement& from, schema::Acknowledgement::Builder to) {
  write(from.of(Urgency::control), to.initControl());
  write(from.of(Urgency::pipeline), to.initPipeline());
  write(from.of(Urgency::reduce), to.initReduce());
  to.setGoodbye(from.goodbye);
  to.setPong(from.pong);
  if (from.links.empty()) return;
  auto links = to.initLinks(static_cast<unsigned>(from.links.size()));
  for (unsigned i = 0; i < links.size(); ++i) {
    links[i].setNumber(from.links[i].link);
    links[i].setOrdinal(from.links[i].ordinal);
  }
}

void write(const Hello& from, schema::Hello::Builder to) {
  to.setRun(text(from.run));
  to.setJobHash(text(from.job_hash));
  to.setStageCount(from.stage_count);
  to.setDataFingerprint(text(from.data_fingerprint));
  to.setStage(from.stage.value());
  to.setIncarnation(from.incarnation);
  to.setTo(from.to);
  to.setPurpose(static_cast<std::uint8_t>(from.link.purpose));
  to.setNumber(from.link.number);
  to.setLine(from.link.line);
  write(from.received, to.initReceived());
  if (!from.terms.empty()) to.setTerms(text(from.terms, kMaxTermsBytes));
}

void write(const MessageStart& from, schema::Data::Builder to) {
  to.setBegins(true);
  to.setMessageBytes(from.payload_bytes);
  auto name = to.initName();
  name.setEpoch(from.name.epoch);
  name.setStep(from.name.step.value());
  name.setMicrobatch(from.name.microbatch.value());
  name.setKind(static_cast<std::uint16_t>(from.name.kind));
  name.setSource(from.name.source.value());
  name.setLane(from.name.lane.value());
  name.setPart(from.name.part);
  auto tensor = to.initTensor();
  tensor.setDtype(static_cast<std::uint8_t>(from.tensor.dtype));
  auto shape = tensor.initShape(static_cast<unsigned>(from.tensor.shape.size()));
  for (unsigned i = 0; i < shape.size(); ++i) shape.set(i, from.tensor.shape[i]);
  tensor.setCodec(text(from.tensor.codec, kMaxCodecNameBytes));
}

void write(const Data& from, schema::Data::Builder to) {
  to.setUrgency(static_cast<std::uint8_t>(from.urgency));
  to.setSequence(from.sequence);
  to.setChecksum(from.checksum);
  if (from.start) write(*from.start, to);
}

void write(const Ping& from, schema::Ping::Builder to) {
  to.setNumber(from.number);
  if (from.padding > 0) to.initPadding(static_cast<unsigned>(from.padding));
}

void write(const Goodbye& from, schema::Goodbye::Builder to) {
  to.setFailed(from.failed);
  to.setReason(text(from.reason));
  to.setControlFrames(from.frames[0]);
  to.setPipelineFrames(from.frames[1]);
  to.setReduceFrames(from.frames[2]);
  to.setRetry(from.retry);
}

struct EnvelopeWriter {
  schema::Envelope::Builder envelope;
  void operator()(const Hello& frame) {
    envelope.setVersion(frame.version);
    write(frame, envelope.initHello());
  }
  void operator()(const Data& frame) { write(frame, envelope.initData()); }
  void operator()(const Acknowledgement& frame) { write(frame, envelope.initAcknowledgement()); }
  void operator()(const Ping& frame) { write(frame, envelope.initPing()); }
  void operator()(const Goodbye& frame) { write(frame, envelope.initGoodbye()); }
};

Received read(schema::Acknowledgement::Received::Reader from) {
  return {.next = from.getNext(), .credit_limit = from.getCreditLimit()};
}

Acknowledgement read(schema::Acknowledgement::Reader from) {
  Acknowledgement report{
      .received = {read(from.getControl()), read(from.getPipeline()), read(from.getReduce())},
      .goodbye = from.getGoodbye(),
      .pong = from.getPong()};
  const auto links = from.getLinks();
  if (links.size() > kMaxLinkReports) {
    throw UnwelcomeValue{fmt::format("a report of {} connections, at most {} allowed", links.size(),
                                     kMaxLinkReports)};
  }
  for (const auto link : links) report.links.push_back({link.getNumber(), link.getOrdinal()});
  return report;
}

Hello read(schema::Hello::Reader from, std::uint16_t version) {
  Hello hello{.version = version,
              .run = text(from.getRun(), "run"),
              .job_hash = text(from.getJobHash(), "job hash"),
              .stage_count = from.getStageCount(),
              .data_fingerprint = text(from.getDataFingerprint(), "data fingerprint"),
              .stage = StageIndex(from.getStage()),
              .incarnation = from.getIncarnation(),
              .received = {}};
  if (version != kProtocolVersion) return hello;
  hello.to = from.getTo();
  hello.link = {
      .purpose = purpose(from.getPurpose()), .number = from.getNumber(), .line = from.getLine()};
  hello.received = read(from.getReceived());
  hello.terms = text(from.getTerms(), "terms", kMaxTermsBytes);
  return hello;
}

TensorInfo read(schema::Data::Tensor::Reader from) {
  TensorInfo tensor;
  if (from.getDtype() >= kDTypes) {
    throw UnwelcomeValue{fmt::format("element type {} does not exist", from.getDtype())};
  }
  tensor.dtype = static_cast<DType>(from.getDtype());
  const auto shape = from.getShape();
  if (shape.size() > kMaxRank) {
    throw UnwelcomeValue{
        fmt::format("tensor of rank {}, at most {} allowed", shape.size(), kMaxRank)};
  }
  for (const std::int64_t extent : shape) tensor.shape.push_back(extent);
  tensor.codec = text(from.getCodec(), "codec name", kMaxCodecNameBytes);
  return tensor;
}

MessageStart read_start(schema::Data::Reader from) {
  MessageStart start;
  const auto name = from.getName();
  if (name.getKind() >= kMessageKinds) {
    throw UnwelcomeValue{fmt::format("message kind {} does not exist", name.getKind())};
  }
  start.name = {.epoch = name.getEpoch(),
                .step = Step(name.getStep()),
                .microbatch = MicrobatchIndex(name.getMicrobatch()),
                .kind = static_cast<MessageKind>(name.getKind()),
                .source = StageIndex(name.getSource()),
                .lane = LaneIndex(name.getLane()),
                .part = name.getPart()};
  start.tensor = read(from.getTensor());
  start.payload_bytes = from.getMessageBytes();
  if (start.payload_bytes > kMaxMessageBytes) {
    throw UnwelcomeValue{fmt::format("message of {} bytes, at most {} allowed", start.payload_bytes,
                                     kMaxMessageBytes)};
  }
  if (auto flaw = flaw_of(start.tensor, start.payload_bytes))
    throw UnwelcomeValue{std::move(*flaw)};
  return start;
}

Data read(schema::Data::Reader from, Buffer payload) {
  if (payload.size() > kMaxFrameBytes) {
    throw UnwelcomeValue{
        fmt::format("frame of {} bytes, at most {} allowed", payload.size(), kMaxFrameBytes)};
  }
  Data data;
  data.urgency = urgency(from.getUrgency());
  data.sequence = from.getSequence();
  data.checksum = from.getChecksum();
  if (from.getBegins()) data.start = read_start(from);
  data.payload = std::move(payload);
  return data;
}

Ping read(schema::Ping::Reader from) {
  const std::size_t padding = from.getPadding().size();
  if (padding > kMaxPingPadding) {
    throw UnwelcomeValue{fmt::format("a ping with {} bytes of padding, at most {} allowed", padding,
                                     kMaxPingPadding)};
  }
  return {.number = from.getNumber(), .padding = padding};
}

Goodbye read(schema::Goodbye::Reader from) {
  return {.failed = from.getFailed(),
          .reason = text(from.getReason(), "reason"),
          .frames = {from.getControlFrames(), from.getPipelineFrames(), from.getReduceFrames()},
          .retry = from.getRetry()};
}

Frame read(schema::Envelope::Reader from, Buffer payload) {
  if (from.getMagic() != kMagic) {
    throw UnwelcomeValue{fmt::format("magic {:#x}, expected {:#x}", from.getMagic(), kMagic)};
  }
  if (from.getVersion() != kProtocolVersion && !from.isHello()) {
    throw UnwelcomeValue{
        fmt::format("protocol version {}, ours is {}", from.getVersion(), kProtocolVersion)};
  }
  if (!payload.empty() && !from.isData()) throw UnwelcomeValue{"a payload where none belongs"};
  switch (from.which()) {
    case schema::Envelope::HELLO:
      return read(from.getHello(), from.getVersion());
    case schema::Envelope::DATA:
      return read(from.getData(), std::move(payload));
    case schema::Envelope::ACKNOWLEDGEMENT:
      return read(from.getAcknowledgement());
    case schema::Envelope::PING:
      return read(from.getPing());
    case schema::Envelope::GOODBYE:
      return read(from.getGoodbye());
    case schema::Envelope::RETIRED8:
      break;
  }
  throw UnwelcomeValue{"a kind of frame that does not exist"};
}

}  // namespace

std::vector<std::byte> encode_header(const Frame& frame, std::uint64_t ordinal) {
  capnp::word scratch[kScratchWords] = {};
  capnp::MallocMessageBuilder message(kj::arrayPtr(scratch, kScratchWords));
  auto envelope = message.initRoot<schema::Envelope>();
  envelope.setMagic(kMagic);
  envelope.setVersion(kProtocolVersion);
  envelope.setOrdinal(ordinal);
  std::visit(EnvelopeWriter{envelope}, frame);
  const auto words = capnp::messageToFlatArray(message);
  const auto bytes = std::as_bytes(std::span(words.begin(), words.size()));
  return {bytes.begin(), bytes.end()};
}

std::variant<NumberedFrame, Malformed> decode_frame(std::span<const std::byte> header,
                                                    Buffer payload) {
  return read_bounded<schema::Envelope>(
      header, kMaxHeaderBytes, "header", [&](schema::Envelope::Reader envelope) {
        return NumberedFrame{read(envelope, std::move(payload)), envelope.getOrdinal()};
      });
}

}  // namespace ptrain::wire
