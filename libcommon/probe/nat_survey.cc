#include "libcommon/probe/nat_survey.h"

#include <algorithm>
#include <utility>

namespace ptrain::probe {

NatSurvey::NatSurvey(std::vector<EchoServer> relays, std::optional<SocketAddress> own,
                     RandomSource& random)
    : relays_(std::move(relays)), random_(random) {
  for (const EchoServer& relay : relays_) findings_.relays.push_back(relay.host);
  findings_.echoes.resize(relays_.size());
  findings_.own = own;
}

// ---- What is asked.

std::vector<NatDatagram> NatSurvey::due(TimePoint now) {
  advance(now);
  std::vector<NatDatagram> datagrams;
  for (Question& question : questions_) {
    const std::size_t number = question.sent.size();
    if (question.answered || number == kNatSendings.size()) continue;
    if (now < phase_began_ + kNatSendings[number]) continue;
    EchoNonce nonce;
    random_.fill(std::as_writable_bytes(std::span(nonce)));
    question.sent.push_back({nonce, now});
    datagrams.push_back(
        {question.from, question.to, to_bytes({nonce, question.answer, question.to_port})});
  }
  return datagrams;
}

TimePoint NatSurvey::next() const {
  if (over()) return TimePoint::max();
  TimePoint next = phase_began_ + kNatGivenUp;
  for (const Question& question : questions_) {
    const std::size_t number = question.sent.size();
    if (question.answered || number == kNatSendings.size()) continue;
    next = std::min(next, phase_began_ + kNatSendings[number]);
  }
  return next;
}

void NatSurvey::ask(Question question) { questions_.push_back(std::move(question)); }

void NatSurvey::begin(Phase phase, TimePoint now) {
  phase_ = phase;
  phase_began_ = now;
  questions_.clear();
  if (phase == Phase::mapping) {
    for (std::size_t relay = 0; relay < relays_.size(); ++relay) {
      for (const std::size_t port : {std::size_t{0}, std::size_t{1}}) {
        ask({.relay = relay, .port = port, .to = port_of(relay, port)});
      }
    }
  } else if (phase == Phase::places) {
    ask({.purpose = Purpose::place,
         .from = NatSocket::quiet,
         .answered_at = NatSocket::quiet,
         .to = port_of(*near_, 0)});
    if (!far_) return;
    ask({.purpose = Purpose::place,
         .from = NatSocket::visitor,
         .answered_at = NatSocket::visitor,
         .to = port_of(*far_, 0)});
  } else if (phase == Phase::filtering) {
    ask_for_filters();
  }
}

void NatSurvey::ask_for_filters() {
  using Answer = EchoQuestion::Answer;
  ask({.purpose = Purpose::other_port,
       .from = NatSocket::quiet,
       .answered_at = NatSocket::quiet,
       .to = port_of(*near_, 0),
       .answer = Answer::from_other_port});
  // Who has no router has nothing to turn it round.
  const bool mapped = findings_.own && quiet_seen_->host != findings_.own->host;
  if (mapped) {
    ask({.purpose = Purpose::hairpin,
         .from = NatSocket::visitor,
         .answered_at = NatSocket::quiet,
         .to = *quiet_seen_});
  }
  // A relay answers to the address that asks, so both must be seen at one.
  if (!far_ || !visitor_seen_ || visitor_seen_->host != quiet_seen_->host) return;
  for (const Purpose purpose : {Purpose::other_host, Purpose::other_host_can}) {
    const bool to_quiet = purpose == Purpose::other_host;
    ask({.purpose = purpose,
         .from = NatSocket::visitor,
         .answered_at = to_quiet ? NatSocket::quiet : NatSocket::visitor,
         .to = port_of(*far_, 0),
         .answer = Answer::to_other_port,
         .to_port = to_quiet ? quiet_seen_->port : visitor_seen_->port});
  }
}

// ---- What comes.

NatSurvey::Question* NatSurvey::asked_with(const EchoNonce& nonce, NatSocket at) {
  for (Question& question : questions_) {
    if (question.answered_at != at) continue;
    const auto with_it = [&](const Question::Sent& sent) { return sent.nonce == nonce; };
    if (std::ranges::any_of(question.sent, with_it)) return &question;
  }
  return nullptr;
}

void NatSurvey::received(NatSocket at, const SocketAddress& from,
                         std::span<const std::uint8_t> bytes, TimePoint now) {
  const auto back = read_echo_question(bytes);
  const auto answer = read_echo_answer(bytes);
  if (!back && !answer) return;
  const EchoNonce nonce = back ? *back : answer->nonce;
  Question* question = asked_with(nonce, at);
  if (question == nullptr || question->answered) return;
  if (back) {
    if (question->purpose != Purpose::hairpin) return;
    question->answered = true;
    hairpin_came_ = true;
    return advance(now);
  }
  // Nobody else may answer for a relay.
  const SocketAddress expected =
      question->purpose == Purpose::other_port ? port_of(*near_, 1) : question->to;
  if (from != expected || question->purpose == Purpose::hairpin) return;
  const auto sent =
      std::ranges::find_if(question->sent, [&](const auto& each) { return each.nonce == nonce; });
  take(*question, *sent, answer->seen, now);
  advance(now);
}

void NatSurvey::take(Question& question, const Question::Sent& sent, const SocketAddress& seen,
                     TimePoint now) {
  question.answered = true;
  switch (question.purpose) {
    case Purpose::seen: {
      EchoFindings& echo = findings_.echoes[question.relay];
      echo.seen[question.port] = seen;
      const Duration took = now - sent.at;
      echo.round_trip = echo.round_trip ? std::min(*echo.round_trip, took) : took;
      break;
    }
    case Purpose::place:
      (question.from == NatSocket::quiet ? quiet_seen_ : visitor_seen_) = seen;
      break;
    case Purpose::other_port:
      other_port_came_ = true;
      break;
    case Purpose::other_host:
      other_host_came_ = true;
      break;
    case Purpose::other_host_can:
      other_host_can_ = true;
      break;
    case Purpose::hairpin:
      break;
  }
}

// ---- From one phase to the next.

std::optional<std::size_t> NatSurvey::nearest() const {
  std::optional<std::size_t> found;
  for (std::size_t i = 0; i < relays_.size(); ++i) {
    const EchoFindings& echo = findings_.echoes[i];
    // The quiet socket asks the one port and is answered from the other.
    if (!echo.seen[0]) continue;
    if (!found || *echo.round_trip < *findings_.echoes[*found].round_trip) found = i;
  }
  return found;
}

std::optional<std::size_t> NatSurvey::elsewhere(std::size_t relay) const {
  for (std::size_t i = 0; i < relays_.size(); ++i) {
    if (findings_.echoes[i].seen[0] && relays_[i].host != relays_[relay].host) return i;
  }
  return std::nullopt;
}

bool NatSurvey::settled() const {
  return std::ranges::all_of(questions_, [](const Question& each) { return each.answered; });
}

void NatSurvey::advance(TimePoint now) {
  if (phase_ == Phase::before) return begin(Phase::mapping, now);
  if (over() || (!settled() && now < phase_began_ + kNatGivenUp)) return;
  switch (phase_) {
    case Phase::mapping:
      near_ = nearest();
      if (!near_) {
        phase_ = Phase::over;
        questions_.clear();
        return;
      }
      far_ = elsewhere(*near_);
      return begin(Phase::places, now);
    case Phase::places:
      if (quiet_seen_) return begin(Phase::filtering, now);
      phase_ = Phase::over;
      questions_.clear();
      return;
    default:
      conclude();
  }
}

void NatSurvey::conclude() {
  const auto asked = [&](Purpose purpose) {
    return std::ranges::any_of(questions_,
                               [&](const Question& each) { return each.purpose == purpose; });
  };
  findings_.other_port_passes = other_port_came_;
  if (asked(Purpose::hairpin)) findings_.hairpin = hairpin_came_;
  // What does not come may be because an old relay does not know how to send it.
  if (other_host_came_ || other_host_can_) findings_.other_host_passes = other_host_came_;
  phase_ = Phase::over;
  questions_.clear();
}

}  // namespace ptrain::probe
