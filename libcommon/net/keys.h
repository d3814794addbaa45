// The identity of a host: a CURVE (Curve25519) key pair in a file of mode 0600.
//
// Only the public half is ever printed. The file holds two lines of hexadecimal,
// "public HEX" and "secret HEX"; it is made on first use, atomically, so that two
// processes that start together end up with one key.

#pragma once

#include <array>
#include <cstdint>
#include <filesystem>

#include "libcommon/net/endpoint.h"

namespace ptrain::net {

class KeyPair {
 public:
  static KeyPair generate();
  ~KeyPair();
  KeyPair(const KeyPair&) = default;
  KeyPair& operator=(const KeyPair&) = default;

  const PublicKey& public_key() const { return public_; }
  const std::array<std::uint8_t, 32>& secret_key() const { return secret_; }

 private:
  friend KeyPair load_key(const std::filesystem::path& path);
  KeyPair() = default;
  PublicKey public_{};
  std::array<std::uint8_t, 32> secret_{};
};

// Throws Error(permission) when others may read the file, Error(corrupt) when it is not a
// key file or its halves do not belong together, Error(io) when it cannot be read.
KeyPair load_key(const std::filesystem::path& path);

// As load_key, after making the file (and its folder, mode 0700) when there is none.
KeyPair load_or_create_key(const std::filesystem::path& path);

// Where a host's key lies when nobody says otherwise: $XDG_CONFIG_HOME/ptrain/key, or
// ~/.config/ptrain/key. Throws Error(usage) when neither variable is set.
std::filesystem::path default_key_path();

// This host's key: that of the file which an option names, or that of the default path; made where
// there is none.
KeyPair host_key(const std::filesystem::path& named);

}  // namespace ptrain::net
