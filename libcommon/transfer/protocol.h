// What a fetcher of checkpoints and a holder of them say to each other (ptrain-net(7)).
//
// The fetcher asks for a list of checkpoints, for a manifest, a stage's record, a chunk; the
// holder answers each request once, with the bytes or with a refusal. Everything is asked
// for by the checkpoint's id, and everything that comes can be checked against that id, so
// a holder need not be trusted: the manifest's SHA-256 is the id, the manifest holds the
// records' SHA-256, and the records those of the chunks.
//
// Values and their encoding; pure. A request's number is the step of its messages' names.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "libcommon/base/units.h"
#include "libcommon/ckpt/manifest.h"
#include "libcommon/ckpt/record.h"
#include "libcommon/net/introduction.h"
#include "libcommon/wire/envelope.h"
#include "libcommon/wire/message.h"

namespace ptrain::transfer {

// Requests that a client may have unanswered; with more it is sent away.
inline constexpr std::size_t kMaxRequestsInFlight = 64;
// Checkpoints in a listing: the newest ones.
inline constexpr std::size_t kMaxListed = 64;
inline constexpr std::size_t kMaxRequestBytes = 1024;
inline constexpr std::size_t kMaxAnswerBytes = std::size_t{1} << 20;

// What both sides say in their hello: training stages are told apart from these.
net::Introduction introduction();

// The roles of both among the members of a run begin so; the rest is drawn by each process.
inline constexpr std::string_view kHolderRoles = "holder-";
inline constexpr std::string_view kFetcherRoles = "fetcher-";
std::string draw_role(std::string_view begins_with);

enum class Part : std::uint8_t { model, optim, tokenizer };
// The file of that part, where the record has one.
const ckpt::FileRecord* file_of(const ckpt::StageRecord& record, Part part);
std::string_view name_of(Part part);

struct ListRequest {
  bool operator==(const ListRequest&) const = default;
};
struct ManifestRequest {
  ckpt::CheckpointId id;
  bool operator==(const ManifestRequest&) const = default;
};
struct RecordRequest {
  ckpt::CheckpointId id;
  StageIndex stage;
  bool operator==(const RecordRequest&) const = default;
};
struct ChunkRequest {
  ckpt::CheckpointId id;
  StageIndex stage{};
  Part part = Part::model;
  std::uint32_t chunk = 0;
  bool operator==(const ChunkRequest&) const = default;
};
using Request = std::variant<ListRequest, ManifestRequest, RecordRequest, ChunkRequest>;

// A checkpoint that a holder has, or of which it has some stages.
struct Entry {
  Step step;
  ckpt::CheckpointId id;
  std::uint32_t stage_count = 0;
  std::vector<StageIndex> held;  // ascending
  bool operator==(const Entry&) const = default;
};
using Listing = std::vector<Entry>;  // newest first

struct Refusal {
  enum class Kind : std::uint8_t { not_here, damaged } kind = Kind::not_here;
  std::string why;
  bool operator==(const Refusal&) const = default;
};
using Answer = std::variant<Listing, Refusal>;

std::string to_string(const Request& request);

wire::Message request_message(std::uint64_t number, const Request& request);
wire::Message answer_message(std::uint64_t number, const Answer& answer);
wire::Message bytes_message(std::uint64_t number, wire::Buffer bytes);

// Decoded from the payload of a message of the right kind; strangers cause what is wrong.
std::variant<Request, wire::Malformed> read_request(const wire::Message& message);
std::variant<Answer, wire::Malformed> read_answer(const wire::Message& message);

}  // namespace ptrain::transfer
