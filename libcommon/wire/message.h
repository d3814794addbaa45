// What stages say to each other: a name, a description of a tensor, and bytes.
//
// Values; cheap to move, and to copy, since the payload is shared. A name is
// unique within a run, so that consuming a message twice can be recognised.

#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libcommon/base/units.h"
#include "libcommon/wire/buffer.h"

namespace ptrain::wire {

// Appended to, never reordered: the numbers cross the wire.
enum class MessageKind : std::uint16_t {
  // pipeline
  activation,
  gradient,
  tied_gradient,
  eval_activation,
  // control
  step_report,
  step_verdict,
  eval_report,
  checkpoint_record,
  checkpoint_manifest,
  resume_offer,
  resume_choice,
  retired11,
  // checkpoints over sessions (transfer/protocol.h); the bytes as pipeline
  transfer_request,
  transfer_answer,
  transfer_bytes,
  // probes (wire/probe.h); the bytes as pipeline
  probe_order,
  probe_report,
  probe_bytes,
  // sums over lanes, of a job that trains
  reduce_part,
  // a stage's state, from who has loaded it to those who hold the stage as well; as pipeline
  cell_state,
  // sums over lanes alone (reduce/part_message.h): what a part is, and its bytes
  sum_part,
  sum_bytes,
};
inline constexpr std::uint16_t kMessageKinds = 22;

// Between two peers, the messages of each urgency are in order by themselves; the most urgent ones,
// which come first here, never wait for others. The numbers cross the wire.
enum class Urgency : std::uint8_t {
  control,   // small, and somebody waits
  pipeline,  // activations and gradients
  reduce,    // sums over lanes, which may take what the pipeline leaves
};
inline constexpr std::size_t kUrgencies = 3;
inline constexpr std::array<Urgency, kUrgencies> kAllUrgencies{Urgency::control, Urgency::pipeline,
                                                               Urgency::reduce};

Urgency urgency_of(MessageKind kind);
std::string_view name_of(MessageKind kind);
std::string_view name_of(Urgency urgency);

struct MessageName {
  std::uint64_t epoch = 0;
  Step step{};
  MicrobatchIndex microbatch{};
  MessageKind kind = MessageKind::activation;
  StageIndex source{};
  LaneIndex lane{};        // of the source
  std::uint64_t part = 0;  // where that of it takes more than one message
  auto operator<=>(const MessageName&) const = default;
};

// "activation of step 12, microbatch 3, from stage 0"
std::string to_string(const MessageName& name);

// Appended to, never reordered.
enum class DType : std::uint8_t {
  bytes,
  float32,
  float64,
  bfloat16,
  float16,
  int64,
  int32,
  int16,
  int8,
  uint8,
};
inline constexpr std::uint8_t kDTypes = 10;

std::size_t size_of(DType dtype);  // bytes an element

// The tensor that the payload stands for. An empty codec means that the payload is its
// elements, row-major, and the size is checked; a codec ("bf16", "int8") may make the
// payload shorter or longer, and its decoder checks. DType::bytes with no shape is opaque.
struct TensorInfo {
  DType dtype = DType::bytes;
  std::vector<std::int64_t> shape;
  std::string codec;
  bool operator==(const TensorInfo&) const = default;
};

inline constexpr std::size_t kMaxRank = 8;
inline constexpr std::size_t kMaxCodecNameBytes = 32;

struct Message {
  MessageName name;
  TensorInfo tensor;
  Buffer payload;
};

// What is wrong with a description, alone or for a payload of that size; nullopt if nothing:
// rank, negative or overflowing extents, the codec's name, a raw payload of another size.
std::optional<std::string> flaw_of(const TensorInfo& tensor, std::uint64_t payload_bytes);

}  // namespace ptrain::wire
