#include "libcommon/reduce/part_message.h"

#include <span>
#include <utility>

#include <capnp/message.h>
#include <capnp/serialize.h>
#include <fmt/format.h>

#include "libcommon/wire/bounded_reader.h"
#include "schemas/reduce.capnp.h"

namespace ptrain::reduce {
namespace {

wire::Message message_of(wire::MessageKind kind, SumId sum, wire::Buffer payload) {
  wire::MessageName name;
  name.step = Step(sum.value());
  name.kind = kind;
  return {.name = name, .tensor = {}, .payload = std::move(payload)};
}

PartKind kind_of(std::uint8_t number) {
  if (number <= static_cast<std::uint8_t>(PartKind::total)) return static_cast<PartKind>(number);
  throw wire::UnwelcomeValue{fmt::format("kind {} of a part does not exist", number)};
}

LaneRange lanes_of(schema::ReducePart::Reader from) {
  const LaneRange lanes{.first = from.getFirstLane(), .end = from.getEndLane()};
  if (lanes.first < lanes.end && lanes.end <= kMaxLanes) return lanes;
  throw wire::UnwelcomeValue{
      fmt::format("lanes {} to {} of a part, without the last; 0 to {} are "
                  "possible",
                  lanes.first, lanes.end, kMaxLanes)};
}

std::uint64_t size_of(schema::ReducePart::Reader from) {
  if (from.getBytes() <= kMaxPartBytes) return from.getBytes();
  throw wire::UnwelcomeValue{
      fmt::format("a part of {} bytes, at most {} allowed", from.getBytes(), kMaxPartBytes)};
}

}  // namespace

std::array<wire::Message, 2> part_messages(const SumPart& part) {
  capnp::MallocMessageBuilder builder;
  auto root = builder.initRoot<schema::ReducePart>();
  root.setSum(part.sum.value());
  root.setKind(static_cast<std::uint8_t>(part.name.kind));
  root.setFirstLane(part.name.lanes.first);
  root.setEndLane(part.name.lanes.end);
  root.setPiece(part.name.piece);
  root.setBytes(part.bytes.size());
  const kj::Array<capnp::word> words = capnp::messageToFlatArray(builder);
  return {message_of(wire::MessageKind::sum_part, part.sum,
                     wire::Buffer::copy_of(std::as_bytes(std::span(words.begin(), words.size())))),
          message_of(wire::MessageKind::sum_bytes, part.sum, part.bytes)};
}

std::variant<std::optional<SumPart>, wire::Malformed> PartReader::take(
    const wire::Message& message) {
  const auto expected = named_ ? wire::MessageKind::sum_bytes : wire::MessageKind::sum_part;
  if (message.name.kind != expected) {
    return wire::Malformed{fmt::format("{} where its {} was to come", to_string(message.name),
                                       wire::name_of(expected))};
  }
  if (named_) {
    const Named part = *std::exchange(named_, std::nullopt);
    if (message.payload.size() == part.bytes) {
      return std::optional(SumPart{part.sum, part.name, message.payload});
    }
    return wire::Malformed{fmt::format("{} bytes of {}, which were said to be {}",
                                       message.payload.size(), to_string(part.name), part.bytes)};
  }
  auto read = wire::read_bounded<schema::ReducePart>(
      message.payload.bytes(), kMaxPartNameBytes, "name of a part",
      [](schema::ReducePart::Reader from) {
        return Named{.sum = SumId(from.getSum()),
                     .name = {.kind = kind_of(from.getKind()),
                              .lanes = lanes_of(from),
                              .piece = from.getPiece()},
                     .bytes = size_of(from)};
      });
  if (auto* malformed = std::get_if<wire::Malformed>(&read)) return std::move(*malformed);
  named_ = std::get<Named>(read);
  return std::optional<SumPart>();
}

}  // namespace ptrain::reduce
