#include "libcommon/net/job_secret.h"

#include <gtest/gtest.h>

#include "libcommon/net/peer_id.h"

namespace ptrain::net {
namespace {

JobSecret secret_of(char fill) {
  std::array<std::byte, JobSecret::kBytes> bytes{};
  bytes.fill(static_cast<std::byte>(fill));
  return JobSecret(bytes);
}

ProofContext context() {
  ProofContext context{.run = "llama"};
  context.dialer[0] = 1;
  context.listener[0] = 2;
  context.dialer_nonce[0] = std::byte{3};
  context.listener_nonce[0] = std::byte{4};
  return context;
}

TEST(JobSecret, GivesEveryHolderTheSameMemberKey) {
  EXPECT_EQ(secret_of('a').member_key().verify_key(), secret_of('a').member_key().verify_key());
  EXPECT_NE(secret_of('a').member_key().verify_key(), secret_of('b').member_key().verify_key());
}

TEST(JobSecret, IsNoneOfTheKeysDerivedFromIt) {
  const JobSecret secret = secret_of('a');
  EXPECT_NE(std::as_bytes(std::span(secret.member_key().verify_key()))[0], secret.bytes()[0]);
  EXPECT_NE(secret.proof(ProofSide::dialer, context()), Sha256Digest(secret.bytes()));
}

TEST(JobSecret, ProvesItselfToAnotherHolder) {
  for (const ProofSide side : {ProofSide::dialer, ProofSide::listener}) {
    const Sha256Digest proof = secret_of('a').proof(side, context());
    EXPECT_TRUE(secret_of('a').proves(side, context(), proof));
    EXPECT_FALSE(secret_of('b').proves(side, context(), proof));
  }
}

TEST(JobSecret, AProofCannotBeSentBackToItsMaker) {
  const JobSecret secret = secret_of('a');
  const Sha256Digest proof = secret.proof(ProofSide::dialer, context());
  EXPECT_FALSE(secret.proves(ProofSide::listener, context(), proof));
}

TEST(JobSecret, AProofHoldsForOneConnectionAlone) {
  const JobSecret secret = secret_of('a');
  const Sha256Digest proof = secret.proof(ProofSide::dialer, context());
  ProofContext other = context();
  other.run = "llamb";
  EXPECT_FALSE(secret.proves(ProofSide::dialer, other, proof));
  other = context();
  other.dialer[31] ^= 1;
  EXPECT_FALSE(secret.proves(ProofSide::dialer, other, proof));
  other = context();
  other.listener[31] ^= 1;
  EXPECT_FALSE(secret.proves(ProofSide::dialer, other, proof));
  other = context();
  other.dialer_nonce[31] ^= std::byte{1};
  EXPECT_FALSE(secret.proves(ProofSide::dialer, other, proof));
  other = context();
  other.listener_nonce[31] ^= std::byte{1};
  EXPECT_FALSE(secret.proves(ProofSide::dialer, other, proof));
}

}  // namespace
}  // namespace ptrain::net
