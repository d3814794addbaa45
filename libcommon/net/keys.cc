#include "libcommon/net/keys.h"

#include <cerrno>
#include <cstdlib>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>
#include <zmq.h>

#include "libcommon/base/error.h"
#include "libcommon/base/text_lines.h"
#include "libcommon/os/file_descriptor.h"
#include "libcommon/os/private_file.h"

namespace ptrain::net {
namespace {

constexpr std::string_view kPublicLine = "public";
constexpr std::string_view kSecretLine = "secret";
constexpr std::size_t kMaxKeyFileBytes = 1024;
constexpr std::size_t kZ85Chars = 41;  // 40 and the terminating zero
using Key = std::array<std::uint8_t, 32>;

Key from_z85(const char* text) {
  Key key;
  if (zmq_z85_decode(key.data(), text) == nullptr) {
    throw Error(ErrorKind::internal, "libzmq made a key that is not Z85");
  }
  return key;
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
  std::array<char, kZ85Chars> public_text{};
  std::array<char, kZ85Chars> secret_text{};
  if (zmq_curve_keypair(public_text.data(), secret_text.data()) != 0) {
    throw io_error("make a CURVE key pair", errno, "libzmq was built without CURVE");
  }
  KeyPair pair;
  pair.public_ = from_z85(public_text.data());
  pair.secret_ = from_z85(secret_text.data());
  ::explicit_bzero(secret_text.data(), secret_text.size());
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
  std::array<char, kZ85Chars> secret_text{};
  std::array<char, kZ85Chars> derived{};
  zmq_z85_encode(secret_text.data(), pair.secret_.data(), pair.secret_.size());
  const int result = zmq_curve_public(derived.data(), secret_text.data());
  ::explicit_bzero(secret_text.data(), secret_text.size());
  if (result != 0) throw io_error("derive the public key of " + path.string(), errno);
  if (from_z85(derived.data()) != pair.public_) {
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
