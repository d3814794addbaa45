// Two members of one run, one of which is tested: what it asks a relay, and what it makes of the
// answers. Without a socket.

#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <variant>

#include <gtest/gtest.h>

#include "libcommon/net/job_secret.h"
#include "libcommon/net/keys.h"
#include "libcommon/net/relay_membership.h"

namespace ptrain::net {

class Members : public testing::Test {
 protected:
  SystemRandom random;
  JobSecret secret = JobSecret::generate(random);
  SigningKey member_key = secret.member_key();
  SigningKey issuer = IssuerSecret::generate(random).key();
  KeyPair ours = KeyPair::generate();
  KeyPair theirs = KeyPair::generate();
  TimePoint now{};

  SignedRecord record(const KeyPair& key, const std::string& role, std::uint64_t sequence,
                      const SigningKey& signer) const {
    return sign({.run_key = issuer.verify_key(),
                 .peer_key = key.public_key(),
                 .role = role,
                 .sequence = sequence,
                 .candidates = {},
                 .grant = make_grant(issuer, member_key.verify_key(), wall_now())},
                signer);
  }
  SignedRecord peer_record(std::uint64_t sequence = 1) const {
    return record(theirs, "stage-0", sequence, member_key);
  }
  RelayMembership membership() const {
    return RelayMembership({.record = record(ours, "stage-1", 7, member_key),
                            .run_key = issuer.verify_key(),
                            .self_key = ours.public_key(),
                            .role = "stage-1",
                            .seeks = {"stage-0"},
                            .paths = 2});
  }

  template <typename Body>
  static std::optional<Request> next_of(RelayMembership& member, TimePoint when) {
    while (auto request = member.next_request(when)) {
      if (std::holds_alternative<Body>(request->body)) return request;
    }
    return std::nullopt;
  }

  // Registered for 30 s, with the look-up and the watch asked for.
  RelayMembership registered() {
    RelayMembership member = membership();
    member.connected(now);
    const auto request = member.next_request(now);
    member.take({request->id,
                 answer::Granted{.lease_ms = 30000, .registry_version = 1, .observed_host = {}}},
                now);
    return member;
  }
};

}  // namespace ptrain::net
