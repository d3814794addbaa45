#include "libcommon/net/punch_greeting.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include <fmt/format.h>

namespace ptrain::net {
namespace {

constexpr std::string_view kPunchMagic = "ptrpunch";
constexpr std::size_t kHoleAt = 8;
constexpr std::size_t kSideAt = 9;
constexpr std::size_t kNonceAt = 16;
constexpr std::size_t kTagAt = 48;
constexpr std::byte kDials{'d'};
constexpr std::byte kListens{'l'};
constexpr std::byte kGo{1};
static_assert(kTagAt + sizeof(Sha256Digest) == kPunchHelloBytes);

ProofSide side_of(bool dials) { return dials ? ProofSide::dialer : ProofSide::listener; }

std::array<std::byte, 32> bytes_at(std::span<const std::byte> from, std::size_t at) {
  std::array<std::byte, 32> bytes{};
  std::ranges::copy(from.subspan(at, bytes.size()), bytes.begin());
  return bytes;
}

}  // namespace

PunchGreeting::PunchGreeting(const PunchIdentity& identity, const Nonce& nonce,
                             const PunchLine& line)
    : identity_(identity), nonce_(nonce), line_(line) {
  say_hello();
}

PunchGreeting::PunchGreeting(const PunchIdentity& identity, const Nonce& nonce, Find find)
    : identity_(identity), nonce_(nonce), find_(std::move(find)) {}

std::vector<std::byte> PunchGreeting::take_output() { return std::exchange(output_, {}); }

std::size_t PunchGreeting::wanted() const {
  std::size_t whole = 0;
  if (state_ == State::begun) whole = hello_heard_ ? sizeof(Sha256Digest) : kPunchHelloBytes;
  // Who dials hears nothing more until it has chosen.
  if (state_ == State::verified && !line_->we_dial) whole = 1;
  return whole - std::min(whole, input_.size());
}

void PunchGreeting::take(std::span<const std::byte> bytes) {
  input_.insert(input_.end(), bytes.begin(), bytes.end());
  if (wanted() != 0 || input_.empty()) return;
  if (state_ == State::begun && !hello_heard_) {
    on_hello();
  } else if (state_ == State::begun) {
    on_proof();
  } else if (state_ == State::verified) {
    input_.front() == kGo ? void(state_ = State::chosen) : fail("it does not speak as we do");
  }
  input_.clear();
}

void PunchGreeting::choose() {
  send({&kGo, 1});
  state_ = State::chosen;
}

void PunchGreeting::say_hello() {
  std::vector<std::byte> hello(kPunchHelloBytes);
  std::ranges::copy(std::as_bytes(std::span(kPunchMagic)), hello.begin());
  hello[kHoleAt] = std::byte{line_->hole};
  hello[kSideAt] = line_->we_dial ? kDials : kListens;
  std::ranges::copy(nonce_, hello.begin() + kNonceAt);
  const std::string about = purpose(*line_, true);
  const Sha256Digest tag =
      identity_.secret.proof(side_of(line_->we_dial), context(*line_, about, nonce_, {}));
  std::ranges::copy(std::as_bytes(std::span(tag)), hello.begin() + kTagAt);
  send(hello);
}

void PunchGreeting::on_hello() {
  hello_heard_ = true;
  const std::span<const std::byte> hello(input_);
  const bool magic =
      std::ranges::equal(hello.first(kPunchMagic.size()), std::as_bytes(std::span(kPunchMagic)));
  const std::byte side = hello[kSideAt];
  if (!magic || (side != kDials && side != kListens)) return fail("it does not speak as we do");
  const auto hole = static_cast<std::uint8_t>(hello[kHoleAt]);
  const bool they_dial = side == kDials;
  their_nonce_ = bytes_at(hello, kNonceAt);
  const auto tag = bytes_at(hello, kTagAt);
  const auto is_theirs = [&](const PunchLine& line) {
    const std::string about = purpose(line, true);
    ProofContext made = context(line, about, {}, their_nonce_);
    return identity_.secret.proves(side_of(they_dial), made, tag);
  };
  if (line_) {
    const bool same = line_->hole == hole && line_->we_dial != they_dial;
    if (!same || !is_theirs(*line_)) return fail("somebody else answers");
  } else {
    line_ = find_(hole, !they_dial, is_theirs);
    if (!line_) return fail("a stranger");
    say_hello();
  }
  const std::string about = purpose(*line_, false);
  const Sha256Digest proof =
      identity_.secret.proof(side_of(line_->we_dial), context(*line_, about, nonce_, their_nonce_));
  send(std::as_bytes(std::span(proof)));
}

void PunchGreeting::on_proof() {
  const auto proof = bytes_at(input_, 0);
  const std::string about = purpose(*line_, false);
  const bool proved = identity_.secret.proves(side_of(!line_->we_dial),
                                              context(*line_, about, nonce_, their_nonce_), proof);
  // Who has recorded a hello can say it again, and no more.
  if (!proved) return fail("it does not hold the run's secret");
  state_ = State::verified;
}

void PunchGreeting::fail(std::string why) {
  state_ = State::failed;
  why_ = std::move(why);
}

std::string PunchGreeting::purpose(const PunchLine& line, bool hello) const {
  return fmt::format("{} {} {} {}", hello ? "hello" : "punched", line.hole, line.roles,
                     identity_.run);
}

ProofContext PunchGreeting::context(const PunchLine& line, const std::string& purpose,
                                    const Nonce& ours, const Nonce& theirs) const {
  return {.run = purpose,
          .dialer = line.we_dial ? identity_.ours : line.theirs,
          .listener = line.we_dial ? line.theirs : identity_.ours,
          .dialer_nonce = line.we_dial ? ours : theirs,
          .listener_nonce = line.we_dial ? theirs : ours};
}

void PunchGreeting::send(std::span<const std::byte> bytes) {
  output_.insert(output_.end(), bytes.begin(), bytes.end());
}

}  // namespace ptrain::net
