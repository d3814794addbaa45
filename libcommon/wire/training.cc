#include "libcommon/wire/training.h"

#include <algorithm>
#include <cmath>
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

using EntryBuilders = capnp::List<schema::ResumeOffer::Entry>::Builder;
using EntryReaders = capnp::List<schema::ResumeOffer::Entry>::Reader;

void fill(EntryBuilders entries, const std::vector<CheckpointName>& names) {
  for (unsigned i = 0; i < entries.size(); ++i) {
    entries[i].setStep(names[i].step.value());
    entries[i].setId(names[i].id);
  }
}

void require_count(const char* name, const char* what, std::size_t count, std::size_t most) {
  if (count > most) {
    throw Error(ErrorKind::corrupt,
                fmt::format("{}: {} {}, at most {} are allowed", name, count, what, most));
  }
}

std::vector<CheckpointName> names_of(EntryReaders entries) {
  require_count("resume offer", "checkpoints", entries.size(), kMaxOfferedCheckpoints);
  std::vector<CheckpointName> names;
  for (const auto entry : entries) {
    names.push_back({Step(entry.getStep()), entry.getId().cStr()});
  }
  return names;
}

double time_of(double value_s) {
  if (std::isfinite(value_s) && value_s >= 0) return value_s;
  throw Error(ErrorKind::corrupt, fmt::format("step report: a time of {} s", value_s));
}

void write(const SendingTime& from, schema::StepReport::Sending::Builder to) {
  to.setBusy(from.busy_s);
  to.setBytes(from.bytes);
  to.setRoundTrip(from.round_trip_s);
}

void write(const StageTime& from, schema::StepReport::Time::Builder to) {
  to.setStep(from.step_s);
  to.setCompute(from.compute_s);
  to.setWaitPrevious(from.wait_previous_s);
  to.setWaitNext(from.wait_next_s);
  write(from.to_previous, to.initToPrevious());
  write(from.to_next, to.initToNext());
  to.setMostInFlight(from.most_in_flight);
}

SendingTime read(schema::StepReport::Sending::Reader from) {
  return {.busy_s = time_of(from.getBusy()),
          .bytes = from.getBytes(),
          .round_trip_s = time_of(from.getRoundTrip())};
}

StageTime read(schema::StepReport::Time::Reader from) {
  return {.step_s = time_of(from.getStep()),
          .compute_s = time_of(from.getCompute()),
          .wait_previous_s = time_of(from.getWaitPrevious()),
          .wait_next_s = time_of(from.getWaitNext()),
          .to_previous = read(from.getToPrevious()),
          .to_next = read(from.getToNext()),
          .most_in_flight = from.getMostInFlight()};
}

}  // namespace

std::vector<std::byte> encode(const StepReport& report) {
  capnp::MallocMessageBuilder message;
  auto root = message.initRoot<schema::StepReport>();
  const std::size_t lanes = report.loss_sums.size();
  if (lanes > 0) root.setLossSum(report.loss_sums.front());
  if (lanes > 1) {
    auto others = root.initOtherLossSums(static_cast<unsigned>(lanes - 1));
    for (unsigned i = 0; i < others.size(); ++i) others.set(i, report.loss_sums[i + 1]);
  }
  root.setStateDigest(report.state_digest);
  root.setNumericsClass(report.numerics_class);
  root.setStopRequested(report.stop_requested);
  write(report.time, root.initTime());
  auto squares = root.initGradientSquares(static_cast<unsigned>(report.gradient_squares.size()));
  for (unsigned i = 0; i < squares.size(); ++i) squares.set(i, report.gradient_squares[i]);
  return bytes_of(message);
}

StepReport decode_step_report(std::span<const std::byte> bytes) {
  return decode<schema::StepReport>(bytes, "step report", [](schema::StepReport::Reader root) {
    const auto squares = root.getGradientSquares();
    require_count("step report", "parameters", squares.size(), kMaxReportedParameters);
    const auto others = root.getOtherLossSums();
    require_count("step report", "lanes", others.size(), kMaxReportedLanes);
    require_count("step report", "bytes of a numerics class", root.getNumericsClass().size(),
                  kMaxNumericsClassBytes);
    StepReport report{.loss_sums = {root.getLossSum()},
                      .gradient_squares = {},
                      .stop_requested = root.getStopRequested(),
                      .numerics_class = root.getNumericsClass(),
                      .state_digest = root.getStateDigest(),
                      .time = read(root.getTime())};
    for (const double loss_sum : others) report.loss_sums.push_back(loss_sum);
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
  root.setSave(verdict.save);
  root.setInFlight(verdict.in_flight);
  return bytes_of(message);
}

StepVerdict decode_step_verdict(std::span<const std::byte> bytes) {
  return decode<schema::StepVerdict>(bytes, "step verdict", [](schema::StepVerdict::Reader root) {
    return StepVerdict{.loss = root.getLoss(),
                       .gradient_norm = root.getGradientNorm(),
                       .clip_factor = root.getClipFactor(),
                       .stop = root.getStop(),
                       .save = root.getSave(),
                       .in_flight = root.getInFlight()};
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
  auto root = message.initRoot<schema::ResumeOffer>();
  fill(root.initCheckpoints(static_cast<unsigned>(offer.checkpoints.size())), offer.checkpoints);
  fill(root.initShares(static_cast<unsigned>(offer.shares.size())), offer.shares);
  return bytes_of(message);
}

ResumeOffer decode_resume_offer(std::span<const std::byte> bytes) {
  return decode<schema::ResumeOffer>(bytes, "resume offer", [](schema::ResumeOffer::Reader root) {
    return ResumeOffer{.checkpoints = names_of(root.getCheckpoints()),
                       .shares = names_of(root.getShares())};
  });
}

std::vector<std::byte> encode(const ResumeChoice& choice) {
  capnp::MallocMessageBuilder message;
  auto root = message.initRoot<schema::ResumeChoice>();
  root.setStep(choice.checkpoint.step.value());
  root.setId(choice.checkpoint.id);
  root.setEvalBatches(choice.eval_batches);
  root.setDataFingerprint(choice.data_fingerprint);
  root.setSeal(choice.seal);
  root.setInFlight(choice.in_flight);
  root.setEvaluate(choice.evaluate);
  root.setWeightsSha256(choice.weights_sha256);
  return bytes_of(message);
}

ResumeChoice decode_resume_choice(std::span<const std::byte> bytes) {
  return decode<schema::ResumeChoice>(bytes, "resume choice", [](schema::ResumeChoice::Reader r) {
    return ResumeChoice{.checkpoint = {Step(r.getStep()), r.getId().cStr()},
                        .eval_batches = r.getEvalBatches(),
                        .data_fingerprint = r.getDataFingerprint().cStr(),
                        .seal = r.getSeal(),
                        .in_flight = r.getInFlight(),
                        .evaluate = r.getEvaluate(),
                        .weights_sha256 = r.getWeightsSha256()};
  });
}

}  // namespace ptrain::wire
