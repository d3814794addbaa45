// What two members of a run say to each other over a TCP connection that they have just made
// through NATs, before it carries CURVE: who they are, that both hold the run's secret, and whether
// this is the connection that is used. Pure: bytes in, bytes out.
//
// Several connections may come up at once, and who dials (in the sense of the session) chooses one
// for both. Who connected says hello first; an address may be anybody's by now, so who accepted
// says nothing before it has heard a hello that only a member could have made for it. A stranger so
// learns nothing, and gets nothing but a connection that ends. CURVE then proves the keys.
//
//   hello   80 bytes: "ptrpunch", hole, side ('d' or 'l'), zeros, 32 of nonce, 32 of proof
//   proof   32 bytes, over both nonces
//   go      1 byte, of who dials

#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "libcommon/base/sha256.h"
#include "libcommon/net/job_secret.h"

namespace ptrain::net {

inline constexpr std::size_t kPunchHelloBytes = 80;

// One connection that two members want with each other. Holes are numbered alike on both sides. A
// host may be several members, with one key.
struct PunchLine {
  PublicKey theirs{};
  std::uint8_t hole = 0;
  bool we_dial = false;
  std::string roles{};  // "stage-1 stage-0": of who dials, and of the other
  auto operator<=>(const PunchLine&) const = default;
};

struct PunchIdentity {
  JobSecret secret;
  std::string run;  // its id
  PublicKey ours{};
};

class PunchGreeting {
 public:
  using Nonce = std::array<std::byte, 32>;
  // Of all lines with that hole and that side of ours, the one that `is_theirs` holds of.
  using Find = std::function<std::optional<PunchLine>(
      std::uint8_t hole, bool we_dial, const std::function<bool(const PunchLine&)>& is_theirs)>;
  enum class State {
    begun,     // nobody has proved anything
    verified,  // both hold the secret
    chosen,    // what comes next is CURVE's
    failed,    // see why()
  };

  // `identity` outlives the object. We connected, and know whom we want.
  PunchGreeting(const PunchIdentity& identity, const Nonce& nonce, const PunchLine& line);
  // They connected, and will say who they are.
  PunchGreeting(const PunchIdentity& identity, const Nonce& nonce, Find find);

  // What to send now; it is taken.
  std::vector<std::byte> take_output();
  // How many bytes may be read at most: not more, for what follows is another's.
  std::size_t wanted() const;
  // Precondition: at most wanted() bytes.
  void take(std::span<const std::byte> bytes);
  // By who dials: this is the one. Precondition: verified, and we dial.
  void choose();

  State state() const { return state_; }
  const std::string& why() const { return why_; }
  const std::optional<PunchLine>& line() const { return line_; }  // once it is known

 private:
  void say_hello();
  void on_hello();
  void on_proof();
  void fail(std::string why);
  std::string purpose(const PunchLine& line, bool hello) const;
  ProofContext context(const PunchLine& line, const std::string& purpose, const Nonce& ours,
                       const Nonce& theirs) const;
  void send(std::span<const std::byte> bytes);

  const PunchIdentity& identity_;
  Nonce nonce_;
  Nonce their_nonce_{};
  Find find_;
  std::optional<PunchLine> line_;
  State state_ = State::begun;
  bool hello_heard_ = false;
  std::string why_;
  std::vector<std::byte> input_;
  std::vector<std::byte> output_;
};

}  // namespace ptrain::net
