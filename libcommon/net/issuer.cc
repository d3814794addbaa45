#include "libcommon/net/issuer.h"

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include <fmt/format.h>
#include <string.h>

#include "libcommon/base/error.h"
#include "libcommon/base/sha256.h"
#include "libcommon/os/private_file.h"

namespace ptrain::net {
namespace {

// Set before what is signed, so that no signature can be mistaken for one of another kind.
constexpr std::string_view kGrantedAs = "ptrain grant v1\n";
constexpr std::string_view kRevokedAs = "ptrain revocation v1\n";

constexpr std::string_view kFileHead = "ptrain-issuer 1\nsecret ";
constexpr std::string_view kFileTail = "\nend\n";
constexpr std::size_t kMaxFileBytes = 1024;

std::string text_of(std::span<const std::uint8_t> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Every field but the last has a fixed length, so no two statements have the same text. The run is
// not named: it is the key that verifies.
std::string granted_text(const VerifyKey& member_key, WallTime expires) {
  return std::string(kGrantedAs) + text_of(member_key) + to_string(expires);
}

std::string revoked_text(const PublicKey& peer) { return std::string(kRevokedAs) + text_of(peer); }

}  // namespace

Grant make_grant(const SigningKey& issuer, const VerifyKey& member_key, WallTime expires) {
  const std::string text = granted_text(member_key, expires);
  return {.member_key = member_key,
          .expires = expires,
          .signature = issuer.sign(std::as_bytes(std::span(text)))};
}

Revocation make_revocation(const SigningKey& issuer, const PublicKey& peer) {
  const std::string text = revoked_text(peer);
  return {.run_key = issuer.verify_key(),
          .peer_key = peer,
          .signature = issuer.sign(std::as_bytes(std::span(text)))};
}

bool is_signed(const Grant& grant, const VerifyKey& issuer) {
  const std::string text = granted_text(grant.member_key, grant.expires);
  return verify(issuer, std::as_bytes(std::span(text)), grant.signature);
}

bool is_signed(const Revocation& revocation) {
  const std::string text = revoked_text(revocation.peer_key);
  return verify(revocation.run_key, std::as_bytes(std::span(text)), revocation.signature);
}

IssuerSecret IssuerSecret::generate(RandomSource& random) {
  return IssuerSecret(random.bytes<kBytes>());
}

IssuerSecret::~IssuerSecret() { ::explicit_bzero(bytes_.data(), bytes_.size()); }

IssuerSecret IssuerSecret::load(const std::filesystem::path& path) {
  std::string text = os::read_private_file(path, "issuer key", kMaxFileBytes);
  std::string_view rest = text;
  std::optional<Sha256Digest> bytes;  // 32 bytes as well
  if (rest.starts_with(kFileHead) && rest.ends_with(kFileTail) &&
      rest.size() == kFileHead.size() + 2 * kBytes + kFileTail.size()) {
    bytes = sha256_from_hex(rest.substr(kFileHead.size(), 2 * kBytes));
  }
  ::explicit_bzero(text.data(), text.size());
  if (!bytes) {
    throw Error(
        ErrorKind::corrupt,
        fmt::format("{}: it is no issuer key: 'ptrain-issuer 1', a secret and 'end' expected",
                    path.string()),
        "it is the file that ptrain-relay ticket new wrote beside the ticket");
  }
  IssuerSecret secret(*bytes);
  ::explicit_bzero(bytes->data(), bytes->size());
  return secret;
}

void IssuerSecret::save(const std::filesystem::path& path) const {
  os::create_private_file(path, "issuer key",
                          std::string(kFileHead) + ptrain::to_hex(bytes_) + std::string(kFileTail));
}

}  // namespace ptrain::net
