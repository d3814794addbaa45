// Fuzzes what whoever reaches a member's hole says there, byte for byte as they like it, and what
// poses as a relay's echo answers. A greeting ends with a member of the run or a failure, however
// it is cut into pieces; nobody but who holds the secret hears a byte or is verified.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <iterator>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "libcommon/net/echo_question.h"
#include "libcommon/net/punch_greeting.h"

namespace {

using namespace ptrain::net;
using Bytes = std::vector<std::byte>;
using State = PunchGreeting::State;

constexpr std::size_t kReservedAt = 10;
constexpr std::size_t kReservedBytes = 6;
constexpr std::size_t kVerifiedBytes = kPunchHelloBytes + sizeof(ptrain::Sha256Digest);

// A member that wants, or takes, a connection with its other. Secret and nonces are always the
// same, so that a corpus can hold what is true.
struct Member {
  bool dials;
  bool connects;

  PunchGreeting greeting(const PunchIdentity& identity) const {
    PunchGreeting::Nonce nonce{};
    nonce.front() = std::byte{dials};
    const PunchLine line{
        .theirs = {dials ? std::uint8_t{2} : std::uint8_t{1}}, .hole = 1, .we_dial = dials};
    if (connects) return {identity, nonce, line};
    return {identity, nonce, [line](std::uint8_t hole, bool we_dial, const auto& is_theirs) {
              const bool same = hole == line.hole && we_dial == line.we_dial && is_theirs(line);
              return same ? std::optional(line) : std::nullopt;
            }};
  }
  PunchIdentity identity() const {
    return {.secret = JobSecret(std::array<std::byte, JobSecret::kBytes>{}),
            .run = "run",
            .ours = {dials ? std::uint8_t{1} : std::uint8_t{2}}};
  }
};

struct Outcome {
  State state = State::begun;
  Bytes said;
  std::size_t heard = 0;
  bool operator==(const Outcome&) const = default;
};

void append(Bytes& to, const Bytes& more) { std::ranges::copy(more, std::back_inserter(to)); }

// What becomes of a member that hears `input`, at most `step` bytes at a time.
Outcome hears(const Member& member, std::span<const std::byte> input, std::size_t step) {
  const PunchIdentity identity = member.identity();
  PunchGreeting greeting = member.greeting(identity);
  Outcome outcome{.said = greeting.take_output()};
  while (greeting.wanted() > 0 && outcome.heard < input.size()) {
    if (greeting.wanted() > kPunchHelloBytes) std::abort();
    const std::size_t size = std::min({greeting.wanted(), input.size() - outcome.heard, step});
    greeting.take(input.subspan(outcome.heard, size));
    append(outcome.said, greeting.take_output());
    outcome.heard += size;
  }
  outcome.state = greeting.state();
  return outcome;
}

// What the honest other says to that member, as far as it is not chosen.
Bytes truth_for(const Member& member) {
  const Member other{.dials = !member.dials, .connects = true};
  const Bytes hello = hears(other, {}, 1).said;
  const Bytes answer = hears(member, hello, kPunchHelloBytes).said;
  return hears(other, answer, kPunchHelloBytes).said;
}

bool begins_truly(Bytes input, const Bytes& truth, std::size_t size) {
  if (input.size() < size) return false;
  std::fill_n(input.begin() + kReservedAt, kReservedBytes, std::byte{});  // not looked at
  return std::ranges::equal(std::span(input).first(size), std::span(truth).first(size));
}

void check(const Member& member, const Bytes& input) {
  const Outcome outcome = hears(member, input, kPunchHelloBytes);
  if (hears(member, input, 1) != outcome || hears(member, input, 7) != outcome) std::abort();
  const Bytes truth = truth_for(member);
  if (truth.size() != kVerifiedBytes) std::abort();
  const bool verified = outcome.state == State::verified || outcome.state == State::chosen;
  const bool true_so_far = begins_truly(input, truth, kVerifiedBytes);
  if (verified && !true_so_far) std::abort();
  if (!verified && true_so_far && input.size() == kVerifiedBytes) std::abort();
  if (outcome.state == State::chosen && member.dials) std::abort();
  const Bytes unasked = hears(member, {}, 1).said;
  if (!member.connects && !unasked.empty()) std::abort();
  if (outcome.said != unasked && !begins_truly(input, truth, kPunchHelloBytes)) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span<const std::byte> bytes = std::as_bytes(std::span(data, size));
  const Bytes input(bytes.begin(), bytes.end());
  for (const bool dials : {false, true}) {
    for (const bool connects : {false, true}) check({.dials = dials, .connects = connects}, input);
  }
  if (read_echo_answer(bytes, {}) && size != kEchoAnswerBytes) std::abort();
  return 0;
}
