#include "libcommon/wire/training.h"

#include <algorithm>
#include <span>
#include <vector>

#include <capnp/message.h>
#include <capnp/serialize.h>
#include <fmt/format.h>
#include <kj/exception.h>

#include "libcommon/base/error.h"
#include "schemas/training.capnp.h"

namespace ptrain::wire {
namespace {

constexpr int kNestingLimit = 16;

std::vector<std::byte> bytes_of(capnp::MessageBuilder& message) {
  const kj::Array<capnp::word> words = capnp::messageToFlatArray(message);
  const auto bytes = words.asBytes();
  const auto* begin = reinterpret_cast<const std::byte*>(bytes.begin());
  return {begin, begin + bytes.size()};
}

// Decodes one struct from unaligned bytes; `read` turns its reader into a value.
template <class Struct, class Read>
auto decode(std::span<const std::byte> bytes, const char* name, Read read) {
  try {
    // Frames have no alignment: copy to words first. A reader cannot need more
    // traversal than the words there are, so amplification by pointers is refused.
    std::vector<capnp::word> words((bytes.size() + sizeof(capnp::word) - 1) / sizeof(capnp::word));
    std::ranges::copy(bytes, std::as_writable_bytes(std::span(words)).begin());
    const capnp::ReaderOptions options{.traversalLimitInWords = words.size() + 64,
                                       .nestingLimit = kNestingLimit};
    capnp::FlatArrayMessageReader message(kj::arrayPtr(words.data(), words.size()), options);
    return read(message.getRoot<Struct>());
  } catch (const kj::Exception& error) {
    throw Error(ErrorKind::corrupt, fmt::format("{} of {} bytes: {}", name, bytes.size(),
                                                error.getDescription().cStr()));
  }
}

void require_count(const char* name, const char* what, std::size_t count, std::size_t most) {
  if (count > most) {
    throw Error(ErrorKind::corrupt,
                fmt::format("{}: {} {}, at most {} are allowed", name, count, what, most));
  }
}

}  // namespace

std::vector<std::byte> encode(const StepReport& report) {
  capnp::MallocMessageBuilder message;
  auto root = message.initRoot<schema::StepReport>();
  root.setLossSum(report.loss_sum);
  root.setStopRequested(report.stop_requested);
  auto squares = root.initGradientSquares(static_cast<unsigned>(report.gradient_squares.size()));
  for (unsigned i = 0; i < squares.size(); ++i) squares.set(i, report.gradient_squares[i]);
  return bytes_of(message);
}

StepReport decode_step_report(std::span<const std::byte> bytes) {
  return decode<schema::StepReport>(bytes, "step report", [](schema::StepReport::Reader root) {
    const auto squares = root.getGradientSquares();
    require_count("step report", "parameters", squares.size(), kMaxReportedParameters);
    StepReport report{.loss_sum = root.getLossSum(),
                      .gradient_squares = {},
                      .stop_requested = root.getStopRequested()};
    report.gradient_squares.reserve(squares.size());
    for (const double square : squares) report.gradient_squares.push_back(square);
    return report;
  });
}

std::vector<std::byte> encode(const StepVerdict& verdict) {
  capnp::MallocMessageBuilder message;
  auto root = message.initRoot<schema::StepVerdict>();
  root.setLoss(verdict.loss);
  root.setGradientNorm(verdict.gradient_norm);
  root.setClipFactor(verdict.clip_factor);
  root.setStop(verdict.stop);
  return bytes_of(message);
}

StepVerdict decode_step_verdict(std::span<const std::byte> bytes) {
  return decode<schema::StepVerdict>(bytes, "step verdict", [](schema::StepVerdict::Reader root) {
    return StepVerdict{.loss = root.getLoss(),
                       .gradient_norm = root.getGradientNorm(),
                       .clip_factor = root.getClipFactor(),
                       .stop = root.getStop()};
  });
}

std::vector<std::byte> encode(const EvalReport& report) {
  capnp::MallocMessageBuilder message;
  auto root = message.initRoot<schema::EvalReport>();
  root.setLossSum(report.loss_sum);
  root.setTokens(report.tokens);
  return bytes_of(message);
}

EvalReport decode_eval_report(std::span<const std::byte> bytes) {
  return decode<schema::EvalReport>(bytes, "eval report", [](schema::EvalReport::Reader root) {
    return EvalReport{.loss_sum = root.getLossSum(), .tokens = root.getTokens()};
  });
}

std::vector<std::byte> encode(const ResumeOffer& offer) {
  capnp::MallocMessageBuilder message;
  auto entries = message.initRoot<schema::ResumeOffer>().initCheckpoints(
      static_cast<unsigned>(offer.checkpoints.size()));
  for (unsigned i = 0; i < entries.size(); ++i) {
    entries[i].setStep(offer.checkpoints[i].step.value());
    entries[i].setId(offer.checkpoints[i].id);
  }
  return bytes_of(message);
}

ResumeOffer decode_resume_offer(std::span<const std::byte> bytes) {
  return decode<schema::ResumeOffer>(bytes, "resume offer", [](schema::ResumeOffer::Reader root) {
    const auto entries = root.getCheckpoints();
    require_count("resume offer", "checkpoints", entries.size(), kMaxOfferedCheckpoints);
    ResumeOffer offer;
    for (const auto entry : entries) {
      offer.checkpoints.push_back({Step(entry.getStep()), entry.getId().cStr()});
    }
    return offer;
  });
}

std::vector<std::byte> encode(const ResumeChoice& choice) {
  capnp::MallocMessageBuilder message;
  auto root = message.initRoot<schema::ResumeChoice>();
  root.setStep(choice.checkpoint.step.value());
  root.setId(choice.checkpoint.id);
  root.setEvalBatches(choice.eval_batches);
  root.setDataFingerprint(choice.data_fingerprint);
  return bytes_of(message);
}

ResumeChoice decode_resume_choice(std::span<const std::byte> bytes) {
  return decode<schema::ResumeChoice>(bytes, "resume choice", [](schema::ResumeChoice::Reader r) {
    return ResumeChoice{.checkpoint = {Step(r.getStep()), r.getId().cStr()},
                        .eval_batches = r.getEvalBatches(),
                        .data_fingerprint = r.getDataFingerprint().cStr()};
  });
}

}  // namespace ptrain::wire
