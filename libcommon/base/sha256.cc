#include "libcommon/base/sha256.h"

#include <openssl/evp.h>

#include "libcommon/base/bytes_of.h"
#include "libcommon/base/error.h"

namespace ptrain {
namespace {

void require(int openssl_result, const char* call) {
  if (openssl_result != 1) throw Error(ErrorKind::internal, std::string(call) + " failed");
}

}  // namespace

struct Sha256::Context {
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> md{EVP_MD_CTX_new(), &EVP_MD_CTX_free};
};

Sha256::Sha256() : context_(std::make_unique<Context>()) {
  require(EVP_DigestInit_ex(context_->md.get(), EVP_sha256(), nullptr), "EVP_DigestInit_ex");
}
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

Sha256& Sha256::update(std::span<const std::byte> bytes) {
  require(EVP_DigestUpdate(context_->md.get(), bytes.data(), bytes.size()), "EVP_DigestUpdate");
  return *this;
}

Sha256& Sha256::update(std::string_view text) { return update(bytes_of(text)); }

Sha256Digest Sha256::so_far() const {
  Sha256 copy;
  require(EVP_MD_CTX_copy_ex(copy.context_->md.get(), context_->md.get()), "EVP_MD_CTX_copy_ex");
  return copy.digest();
}

Sha256Digest Sha256::digest() {
  Sha256Digest result;
  require(EVP_DigestFinal_ex(context_->md.get(), reinterpret_cast<unsigned char*>(result.data()),
                             nullptr),
          "EVP_DigestFinal_ex");
  return result;
}

Sha256Digest sha256(std::span<const std::byte> bytes) { return Sha256().update(bytes).digest(); }
Sha256Digest sha256(std::string_view text) { return Sha256().update(text).digest(); }

std::string to_hex(std::span<const std::byte> bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const std::byte b : bytes) {
    text.push_back(kDigits[std::to_integer<unsigned>(b) >> 4]);
    text.push_back(kDigits[std::to_integer<unsigned>(b) & 15]);
  }
  return text;
}

std::optional<Sha256Digest> sha256_from_hex(std::string_view hex) {
  Sha256Digest digest;
  if (hex.size() != digest.size() * 2) return std::nullopt;
  for (std::size_t i = 0; i < digest.size(); ++i) {
    unsigned value = 0;
    for (const char c : hex.substr(i * 2, 2)) {
      const bool decimal = c >= '0' && c <= '9';
      if (!decimal && (c < 'a' || c > 'f')) return std::nullopt;
      value = value * 16 + static_cast<unsigned>(decimal ? c - '0' : c - 'a' + 10);
    }
    digest[i] = std::byte(value);
  }
  return digest;
}

}  // namespace ptrain
