// What a client of the data port says before its bytes are its partner's: SOCKS5 (RFC 1928)
// without authentication, CONNECT, to the host name TOKEN or TOKEN.invalid; the port does not
// matter. Whatever else SOCKS can ask for is refused with the code that RFC 1928 has for it.
//
// Pure: bytes in, bytes out. It never asks for a byte beyond the request, so that what an
// eager client sends after it is left to its partner.

#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ptrain::relay {

// RFC 1928, section 6.
enum class SocksReply : std::uint8_t {
  succeeded = 0,
  failure = 1,
  not_allowed = 2,
  host_unreachable = 4,
  command_not_supported = 7,
  address_not_supported = 8,
};

// The answer to a request. The address in it says nothing: there is none to be told.
std::string socks_answer(SocksReply reply);

class SocksHandshake {
 public:
  // How many bytes it waits for; 0: it is over.
  std::size_t wanted() const { return over_ ? 0 : needed_ - held_.size(); }
  // Takes at most wanted() bytes. What is to be sent now, often nothing.
  std::string take(std::string_view bytes);

  // Once it is over: the token, or nothing for a client that take() refused.
  const std::optional<std::string>& token() const { return token_; }

 private:
  enum class Part { greeting, methods, request, name_length, name, address };

  void expect(Part part, std::size_t bytes);
  std::string complete();
  std::string on_request();
  std::string on_name();
  std::string refuse(std::string answer);

  Part part_ = Part::greeting;
  std::size_t needed_ = 2;
  std::string held_;
  bool over_ = false;
  std::optional<std::string> token_;
};

}  // namespace ptrain::relay
