// SHA-256 (FIPS 180-4) through OpenSSL, which uses the processor's SHA instructions.

#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace ptrain {

using Sha256Digest = std::array<std::byte, 32>;

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;

  Sha256& update(std::span<const std::byte> bytes);
  Sha256& update(std::string_view text);
  // Of what was given until now; the computation goes on.
  Sha256Digest so_far() const;
  // Ends the computation; the object must not be used after.
  Sha256Digest digest();

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

Sha256Digest sha256(std::span<const std::byte> bytes);
Sha256Digest sha256(std::string_view text);

// Lower-case hexadecimal, two digits a byte.
std::string to_hex(std::span<const std::byte> bytes);

// The inverse of to_hex for a digest; empty unless the text is 64 lower-case digits.
std::optional<Sha256Digest> sha256_from_hex(std::string_view hex);

}  // namespace ptrain
