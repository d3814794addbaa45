// A run for tests: its issuer, its secret, and records of its members.

#pragma once

#include <array>
#include <chrono>
#include <string>
#include <vector>

#include "libcommon/net/issuer.h"
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
    bytes.back() = std::byte{0xff};
    issuer_secret = net::IssuerSecret(bytes);
    run_key = issuer_secret.key().verify_key();
    grant = granted_until(net::wall_now() + std::chrono::hours(24));
  }

  const VerifyKey& key() const { return run_key; }
  net::Grant granted_until(net::WallTime expires) const {
    return net::make_grant(issuer_secret.key(), secret.member_key().verify_key(), expires);
  }
  net::Revocation revocation(const net::PublicKey& peer) const {
    return net::make_revocation(issuer_secret.key(), peer);
  }
  net::Membership as(const std::string& role) const { return {.run_key = key(), .role = role}; }

  net::PeerRecord opened(const net::PublicKey& peer, const std::string& role,
                         std::uint64_t sequence = 1, std::size_t candidates = 1) const {
    net::PeerRecord record{.run_key = key(),
                           .peer_key = peer,
                           .role = role,
                           .sequence = sequence,
                           .candidates = {},
                           .grant = grant};
    for (std::size_t i = 0; i < candidates; ++i) {
      record.candidates.push_back(net::parse_endpoint("tcp://192.0.2.1:" + std::to_string(1 + i)));
    }
    return record;
  }
  net::SignedRecord record(const net::PublicKey& peer, const std::string& role,
                           std::uint64_t sequence = 1, std::size_t candidates = 1) const {
    return signed_by_members(opened(peer, role, sequence, candidates));
  }

  net::SignedRecord signed_by_members(const net::PeerRecord& record) const {
    return net::sign(record, secret.member_key());
  }

  net::JobSecret secret{std::array<std::byte, net::JobSecret::kBytes>{}};
  net::IssuerSecret issuer_secret{std::array<std::byte, net::IssuerSecret::kBytes>{}};
  VerifyKey run_key{};
  net::Grant grant;  // of its tickets
};

}  // namespace ptrain::relay
