// A run for tests: its secret, and records of its members.

#pragma once

#include <array>
#include <string>
#include <vector>

#include "libcommon/net/job_secret.h"
#include "libcommon/net/peer_record.h"
#include "libcommon/net/relay_protocol.h"

namespace ptrain::relay {

inline net::PublicKey key_of(std::uint8_t fill) {
  net::PublicKey key;
  key.fill(fill);
  return key;
}

struct TestRun {
  explicit TestRun(std::uint8_t number) {
    std::array<std::byte, net::JobSecret::kBytes> bytes;
    bytes.fill(static_cast<std::byte>(number));
    secret = net::JobSecret(bytes);
  }

  VerifyKey key() const { return secret.run_key().verify_key(); }
  net::Membership as(const std::string& role) const { return {.run_key = key(), .role = role}; }

  net::PeerRecord opened(const net::PublicKey& peer, const std::string& role,
                         std::uint64_t sequence = 1, std::size_t candidates = 1) const {
    net::PeerRecord record{
        .run_key = key(), .peer_key = peer, .role = role, .sequence = sequence, .candidates = {}};
    for (std::size_t i = 0; i < candidates; ++i) {
      record.candidates.push_back(net::parse_endpoint("tcp://192.0.2.1:" + std::to_string(1 + i)));
    }
    return record;
  }
  net::SignedRecord record(const net::PublicKey& peer, const std::string& role,
                           std::uint64_t sequence = 1, std::size_t candidates = 1) const {
    return net::sign(opened(peer, role, sequence, candidates), secret.run_key());
  }

  net::JobSecret secret{std::array<std::byte, net::JobSecret::kBytes>{}};
};

}  // namespace ptrain::relay
