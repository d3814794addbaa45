// What is to be asked of relays' echoes, and when, to know what a router does with UDP. Pure: no
// socket, no clock; its owner sends what is due and tells what comes.
//
// Three sockets of one family, each with a mapping of its own:
//   asker    asks both ports of every relay where it is seen: the mapping
//   quiet    asks one port of the nearest relay, which then answers from its other port; and a
//            relay elsewhere, which it never sent anything to, is asked to send it an answer: the
//            filter. It is who a hairpin is to lead to, as well
//   visitor  asks that relay elsewhere, and sends what a hairpin would turn round
// Each question is repeated until it is answered or its time is over; kNatTime bounds the whole.

#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "libcommon/base/clock.h"
#include "libcommon/base/random_source.h"
#include "libcommon/probe/echo_question.h"
#include "libcommon/probe/nat_class.h"
#include "libcommon/probe/socket_address.h"

namespace ptrain::probe {

struct EchoServer {
  net::AddressBytes host{};
  std::array<std::uint16_t, 2> ports{};
  bool operator==(const EchoServer&) const = default;
};

enum class NatSocket : std::uint8_t { asker, quiet, visitor };
inline constexpr std::size_t kNatSockets = 3;

// When a question is sent, and sent again, since it was due; and when it is given up.
inline constexpr std::array<Duration, 3> kNatSendings{
    std::chrono::milliseconds(0), std::chrono::milliseconds(150), std::chrono::milliseconds(350)};
inline constexpr Duration kNatGivenUp = std::chrono::milliseconds(650);
// Asking three times, one after the other, at most.
inline constexpr int kNatPhases = 3;
inline constexpr Duration kNatTime = kNatPhases * kNatGivenUp;
static_assert(kNatTime < std::chrono::seconds(2), "a person waits for it");

struct NatDatagram {
  NatSocket from = NatSocket::asker;
  SocketAddress to;
  EchoQuestionBytes bytes{};
};

class NatSurvey {
 public:
  // `own` is where `asker` is, as the kernel routes to the relays. Precondition: at least one
  // relay. `random` outlives the object.
  NatSurvey(std::vector<EchoServer> relays, std::optional<SocketAddress> own, RandomSource& random);

  // What is to be sent now. The first call begins.
  std::vector<NatDatagram> due(TimePoint now);
  // When to call due() next; TimePoint::max() when it is over.
  TimePoint next() const;
  bool over() const { return phase_ == Phase::over; }
  // What came to that socket; what is not for us is passed over.
  void received(NatSocket at, const SocketAddress& from, std::span<const std::uint8_t> bytes,
                TimePoint now);
  // TCP has reached the relay's echo.
  void connected(std::size_t relay, Duration time) { findings_.echoes[relay].tcp_connect = time; }

  const NatFindings& findings() const { return findings_; }

 private:
  enum class Phase : std::uint8_t { before, mapping, places, filtering, over };
  enum class Purpose : std::uint8_t {
    seen,            // of the asker
    place,           // of the quiet socket, or of the visitor
    other_port,      // lets it in?
    other_host,      // and that?
    other_host_can,  // be asked for at all: it answers so to the visitor itself
    hairpin,
  };
  struct Question {
    Purpose purpose = Purpose::seen;
    NatSocket from = NatSocket::asker;
    NatSocket answered_at = NatSocket::asker;
    std::size_t relay = 0;
    std::size_t port = 0;  // of its two
    SocketAddress to;
    EchoQuestion::Answer answer = EchoQuestion::Answer::straight;
    std::uint16_t to_port = 0;
    struct Sent {
      EchoNonce nonce{};
      TimePoint at;
    };
    std::vector<Sent> sent{};
    bool answered = false;
  };

  void begin(Phase phase, TimePoint now);
  void ask(Question question);
  void ask_for_filters();
  void conclude();
  void advance(TimePoint now);
  bool settled() const;
  void take(Question& question, const Question::Sent& sent, const SocketAddress& seen,
            TimePoint now);
  Question* asked_with(const EchoNonce& nonce, NatSocket at);
  std::optional<std::size_t> nearest() const;
  std::optional<std::size_t> elsewhere(std::size_t relay) const;
  SocketAddress port_of(std::size_t relay, std::size_t port) const {
    return {relays_[relay].host, relays_[relay].ports[port]};
  }

  std::vector<EchoServer> relays_;
  RandomSource& random_;
  Phase phase_ = Phase::before;
  TimePoint phase_began_{};
  std::vector<Question> questions_;  // of this phase
  std::optional<std::size_t> near_;  // the relay that the quiet socket asks
  std::optional<std::size_t> far_;   // another, at another address
  std::optional<SocketAddress> quiet_seen_;
  std::optional<SocketAddress> visitor_seen_;
  bool other_port_came_ = false;
  bool other_host_came_ = false;
  bool other_host_can_ = false;
  bool hairpin_came_ = false;
  NatFindings findings_;
};

}  // namespace ptrain::probe
