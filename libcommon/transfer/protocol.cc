#include "libcommon/transfer/protocol.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <utility>

#include <capnp/message.h>
#include <capnp/serialize.h>
#include <fmt/format.h>

#include "libcommon/base/base32.h"
#include "libcommon/base/random_source.h"
#include "libcommon/wire/bounded_reader.h"
#include "schemas/transfer.capnp.h"

namespace ptrain::transfer {
namespace {

using wire::MessageKind;
using wire::UnwelcomeValue;

constexpr std::uint8_t kParts = 3;
constexpr std::uint8_t kRefusalKinds = 2;

wire::Message message_of(MessageKind kind, std::uint64_t number, wire::Buffer payload) {
  wire::MessageName name;
  name.step = Step(number);
  name.kind = kind;
  return {.name = name, .tensor = {}, .payload = std::move(payload)};
}

wire::Buffer bytes_of(capnp::MessageBuilder& message) {
  const kj::Array<capnp::word> words = capnp::messageToFlatArray(message);
  return wire::Buffer::copy_of(std::as_bytes(std::span(words.begin(), words.size())));
}

capnp::Data::Reader data_of(const ckpt::CheckpointId& id) {
  return {reinterpret_cast<const kj::byte*>(id.digest.data()), id.digest.size()};
}

ckpt::CheckpointId read_id(capnp::Data::Reader data) {
  ckpt::CheckpointId id;
  if (data.size() != id.digest.size()) {
    throw UnwelcomeValue{
        fmt::format("a checkpoint id of {} bytes, not {}", data.size(), id.digest.size())};
  }
  std::memcpy(id.digest.data(), data.begin(), data.size());
  return id;
}

StageIndex read_stage(std::uint32_t stage) {
  if (stage < ckpt::kMaxStages) return StageIndex(stage);
  throw UnwelcomeValue{fmt::format("stage {}, at most {} allowed", stage, ckpt::kMaxStages - 1)};
}

struct RequestWriter {
  schema::TransferRequest::Builder to;
  void operator()(const ListRequest&) { to.setList(); }
  void operator()(const ManifestRequest& from) { to.initManifest().setId(data_of(from.id)); }
  void operator()(const RecordRequest& from) {
    auto record = to.initRecord();
    record.setId(data_of(from.id));
    record.setStage(from.stage.value());
  }
  void operator()(const ChunkRequest& from) {
    auto chunk = to.initChunk();
    chunk.setId(data_of(from.id));
    chunk.setStage(from.stage.value());
    chunk.setPart(static_cast<std::uint8_t>(from.part));
    chunk.setChunk(from.chunk);
  }
};

ChunkRequest read(schema::TransferRequest::Chunk::Reader from) {
  if (from.getPart() >= kParts) {
    throw UnwelcomeValue{fmt::format("part {} does not exist", from.getPart())};
  }
  return {.id = read_id(from.getId()),
          .stage = read_stage(from.getStage()),
          .part = static_cast<Part>(from.getPart()),
          .chunk = from.getChunk()};
}

Request read(schema::TransferRequest::Reader from) {
  switch (from.which()) {
    case schema::TransferRequest::LIST:
      return ListRequest{};
    case schema::TransferRequest::MANIFEST:
      return ManifestRequest{read_id(from.getManifest().getId())};
    case schema::TransferRequest::RECORD:
      return RecordRequest{read_id(from.getRecord().getId()),
                           read_stage(from.getRecord().getStage())};
    case schema::TransferRequest::CHUNK:
      return read(from.getChunk());
  }
  throw UnwelcomeValue{"a kind of request that does not exist"};
}

struct AnswerWriter {
  schema::TransferAnswer::Builder to;
  void operator()(const Listing& from) {
    auto entries = to.initListing(static_cast<unsigned>(from.size()));
    for (unsigned i = 0; i < entries.size(); ++i) {
      entries[i].setStep(from[i].step.value());
      entries[i].setId(data_of(from[i].id));
      entries[i].setStageCount(from[i].stage_count);
      auto held = entries[i].initHeld(static_cast<unsigned>(from[i].held.size()));
      for (unsigned k = 0; k < held.size(); ++k) held.set(k, from[i].held[k].value());
    }
  }
  void operator()(const Refusal& from) {
    auto refusal = to.initRefusal();
    refusal.setKind(static_cast<std::uint8_t>(from.kind));
    const std::string why = from.why.substr(0, wire::kMaxTextBytes);
    refusal.setWhy({why.c_str(), why.size()});  // all of it, also where there is a NUL in it
  }
};

Entry read(schema::TransferAnswer::Entry::Reader from) {
  if (from.getStageCount() == 0 || from.getStageCount() > ckpt::kMaxStages) {
    throw UnwelcomeValue{fmt::format("a checkpoint of {} stages, 1 to {} allowed",
                                     from.getStageCount(), ckpt::kMaxStages)};
  }
  Entry entry{.step = Step(from.getStep()),
              .id = read_id(from.getId()),
              .stage_count = from.getStageCount(),
              .held = {}};
  for (const std::uint32_t stage : from.getHeld()) {
    const bool ascending = entry.held.empty() || entry.held.back().value() < stage;
    if (stage >= entry.stage_count || !ascending) {
      throw UnwelcomeValue{
          fmt::format("stage {} of {}, out of order or range", stage, entry.stage_count)};
    }
    entry.held.emplace_back(stage);
  }
  return entry;
}

Refusal read(schema::TransferAnswer::Refusal::Reader from) {
  if (from.getKind() >= kRefusalKinds || from.getWhy().size() > wire::kMaxTextBytes) {
    throw UnwelcomeValue{fmt::format("a refusal of kind {} with a text of {} bytes", from.getKind(),
                                     from.getWhy().size())};
  }
  return {.kind = static_cast<Refusal::Kind>(from.getKind()),
          .why = std::string(from.getWhy().cStr(), from.getWhy().size())};
}

Answer read(schema::TransferAnswer::Reader from) {
  if (from.isRefusal()) return read(from.getRefusal());
  if (!from.isListing()) throw UnwelcomeValue{"a kind of answer that does not exist"};
  const auto entries = from.getListing();
  if (entries.size() > kMaxListed) {
    throw UnwelcomeValue{
        fmt::format("a list of {} checkpoints, at most {} allowed", entries.size(), kMaxListed)};
  }
  Listing listing;
  for (const auto entry : entries) listing.push_back(read(entry));
  return listing;
}

}  // namespace

net::Introduction introduction() {
  return {.run = "checkpoints", .job_hash = "", .stage_count = 2, .data_fingerprint = ""};
}

std::string draw_role(std::string_view begins_with) {
  SystemRandom random;
  return fmt::format("{}{}", begins_with, to_base32(random.bytes<5>()));
}

const ckpt::FileRecord* file_of(const ckpt::StageRecord& record, Part part) {
  if (part == Part::model) return &record.model;
  const auto& file = part == Part::optim ? record.optim : record.tokenizer;
  return file ? &*file : nullptr;
}

std::string_view name_of(Part part) {
  constexpr std::array<std::string_view, kParts> kNames{"model", "optimiser", "tokenizer"};
  return kNames[static_cast<std::size_t>(part)];
}

std::string to_string(const Request& request) {
  struct Text {
    std::string operator()(const ListRequest&) { return "the list of checkpoints"; }
    std::string operator()(const ManifestRequest& r) { return "the manifest of " + r.id.hex(); }
    std::string operator()(const RecordRequest& r) {
      return fmt::format("the record of stage {} of {}", r.stage.value(), r.id.hex());
    }
    std::string operator()(const ChunkRequest& r) {
      return fmt::format("chunk {} of the {} file of stage {} of {}", r.chunk, name_of(r.part),
                         r.stage.value(), r.id.hex());
    }
  };
  return std::visit(Text(), request);
}

wire::Message request_message(std::uint64_t number, const Request& request) {
  capnp::MallocMessageBuilder message;
  std::visit(RequestWriter{message.initRoot<schema::TransferRequest>()}, request);
  return message_of(MessageKind::transfer_request, number, bytes_of(message));
}

wire::Message answer_message(std::uint64_t number, const Answer& answer) {
  capnp::MallocMessageBuilder message;
  std::visit(AnswerWriter{message.initRoot<schema::TransferAnswer>()}, answer);
  return message_of(MessageKind::transfer_answer, number, bytes_of(message));
}

wire::Message bytes_message(std::uint64_t number, wire::Buffer bytes) {
  return message_of(MessageKind::transfer_bytes, number, std::move(bytes));
}

std::variant<Request, wire::Malformed> read_request(const wire::Message& message) {
  if (message.name.kind != MessageKind::transfer_request) {
    return wire::Malformed{
        fmt::format("a message that is no request: {}", to_string(message.name))};
  }
  auto result = wire::read_bounded<schema::TransferRequest>(
      message.payload.bytes(), kMaxRequestBytes, "request",
      [](schema::TransferRequest::Reader root) { return read(root); });
  if (auto* malformed = std::get_if<wire::Malformed>(&result)) return std::move(*malformed);
  return std::get<Request>(std::move(result));
}

std::variant<Answer, wire::Malformed> read_answer(const wire::Message& message) {
  auto result = wire::read_bounded<schema::TransferAnswer>(
      message.payload.bytes(), kMaxAnswerBytes, "answer",
      [](schema::TransferAnswer::Reader root) { return read(root); });
  if (auto* malformed = std::get_if<wire::Malformed>(&result)) return std::move(*malformed);
  return std::get<Answer>(std::move(result));
}

}  // namespace ptrain::transfer
