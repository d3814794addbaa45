#include "libcommon/net/keys.h"

#include <cerrno>
#include <cstdlib>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <unistd.h>

#include "libcommon/base/error.h"
#include "libcommon/base/random_source.h"
#include "libcommon/base/text_lines.h"
#include "libcommon/os/file_descriptor.h"
#include "libcommon/os/private_file.h"

namespace ptrain::net {
namespace {

constexpr std::string_view kPublicLine = "public";
constexpr std::string_view kSecretLine = "secret";
constexpr std::size_t kMaxKeyFileBytes = 1024;
using Key = std::array<std::uint8_t, 32>;

// CURVE's keys are those of X25519 (RFC 7748).
Key public_half_of(const Key& secret) {
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(
      EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, nullptr, secret.data(), secret.size()),
      &EVP_PKEY_free);
  Key result;
  std::size_t size = result.size();
  if (key == nullptr || EVP_PKEY_get_raw_public_key(key.get(), result.data(), &size) != 1) {
    throw Error(ErrorKind::internal, "OpenSSL's X25519 key failed");
  }
  return result;
}

std::optional<Key> value_after(std::string_view text, std::string_view label) {
  for (const TextLine& line : text_lines(text)) {
    const std::vector<std::string_view> words = words_of(line.text);
    if (words.size() == 2 && words[0] == label) return parse_public_key(words[1]);
  }
  return std::nullopt;
}

// Written beside and linked into place, so that the file appears whole or not at all, and
// of two writers the first wins.
void write_key_file(const KeyPair& key, const std::filesystem::path& path) {
  std::string text = fmt::format("{} {}\n{} {}\n", kPublicLine, to_hex(key.public_key()),
                                 kSecretLine, to_hex(key.secret_key()));
  std::string temporary = path.string() + ".XXXXXX";
  const os::FileDescriptor file(::mkostemp(temporary.data(), O_CLOEXEC));  // mode 0600
  if (!file.valid()) throw io_error("create " + temporary, errno);
  const bool written =
      ::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()) &&
      ::fsync(file.get()) == 0;
  const int write_error = errno;
  const bool linked = written && ::link(temporary.c_str(), path.c_str()) == 0;
  const int link_error = errno;
  ::unlink(temporary.c_str());
  if (!written) throw io_error("write " + temporary, write_error);
  if (!linked && link_error != EEXIST) throw io_error("create " + path.string(), link_error);
}

}  // namespace

KeyPair KeyPair::generate() {
  KeyPair pair;
  SystemRandom().fill(std::as_writable_bytes(std::span(pair.secret_)));
  pair.public_ = public_half_of(pair.secret_);
  return pair;
}

KeyPair::~KeyPair() { ::explicit_bzero(secret_.data(), secret_.size()); }

KeyPair load_key(const std::filesystem::path& path) {
  std::string text = os::read_private_file(path, "key file", kMaxKeyFileBytes);
  const auto public_key = value_after(text, kPublicLine);
  const auto secret_key = value_after(text, kSecretLine);
  ::explicit_bzero(text.data(), text.size());
  const std::string hint = fmt::format(
      "move {} away; a new key is made on the next start, and "
      "others must be told its public half",
      path.string());
  if (!public_key || !secret_key) {
    throw Error(ErrorKind::corrupt,
                fmt::format("key file {}: expected the lines 'public HEX' and 'secret HEX', 64 "
                            "digits each",
                            path.string()),
                hint);
  }
  KeyPair pair;
  pair.public_ = *public_key;
  pair.secret_ = *secret_key;
  if (public_half_of(pair.secret_) != pair.public_) {
    throw Error(ErrorKind::corrupt,
                fmt::format("key file {}: its public and secret halves do not belong together",
                            path.string()),
                hint);
  }
  return pair;
}

KeyPair load_or_create_key(const std::filesystem::path& path) {
  if (::access(path.c_str(), F_OK) != 0 && errno == ENOENT) {
    const auto folder = path.parent_path();
    if (!folder.empty() && !std::filesystem::exists(folder)) {
      std::error_code error;
      std::filesystem::create_directories(folder, error);
      if (error) throw io_error("create " + folder.string(), error.value());
      std::filesystem::permissions(folder, std::filesystem::perms::owner_all);
    }
    write_key_file(KeyPair::generate(), path);
  }
  return load_key(path);
}

std::filesystem::path default_key_path() {
  if (const char* config = std::getenv("XDG_CONFIG_HOME"); config != nullptr && *config != '\0') {
    return std::filesystem::path(config) / "ptrain" / "key";
  }
  if (const char* home = std::getenv("HOME"); home != nullptr && *home != '\0') {
    return std::filesystem::path(home) / ".config" / "ptrain" / "key";
  }
  throw Error(ErrorKind::usage, "no place for the key: neither XDG_CONFIG_HOME nor HOME is set",
              "name a key file");
}

KeyPair host_key(const std::filesystem::path& named) {
  return load_or_create_key(named.empty() ? default_key_path() : named);
}

}  // namespace ptrain::net
