#include "tools/relay/carrier/socks_handshake.h"

#include <algorithm>
#include <utility>

#include "tools/relay/carrier/token_desk.h"

namespace ptrain::relay {
namespace {

constexpr char kVersion = 5;
constexpr char kNoAuthentication = 0;
constexpr char kNoAcceptableMethod = '\xff';
constexpr char kConnect = 1;
constexpr char kIpv4 = 1;
constexpr char kName = 3;
constexpr char kIpv6 = 4;
constexpr std::size_t kPortBytes = 2;
// Never a name that is resolved (RFC 2606): a client that is asked to resolve it itself fails.
constexpr std::string_view kSuffix = ".invalid";

std::size_t byte_at(const std::string& text, std::size_t index) {
  return static_cast<unsigned char>(text[index]);
}

bool looks_like_a_token(std::string_view text) {
  return text.size() == kTokenChars && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '2' && c <= '7');
         });
}

}  // namespace

std::string socks_answer(SocksReply reply) {
  return {kVersion, static_cast<char>(reply), 0, kIpv4, 0, 0, 0, 0, 0, 0};
}

std::string SocksHandshake::take(std::string_view bytes) {
  std::string answer;
  while (!bytes.empty() && !over_) {
    const std::size_t taken = std::min(bytes.size(), wanted());
    held_.append(bytes.substr(0, taken));
    bytes.remove_prefix(taken);
    if (wanted() == 0) answer += complete();
  }
  return answer;
}

void SocksHandshake::expect(Part part, std::size_t bytes) {
  part_ = part;
  needed_ = bytes;
  held_.clear();
}

std::string SocksHandshake::complete() {
  switch (part_) {
    case Part::greeting:
      // Another protocol: nothing that we could say would be understood.
      if (held_[0] != kVersion) return refuse("");
      if (held_[1] == 0) return refuse({kVersion, kNoAcceptableMethod});
      expect(Part::methods, byte_at(held_, 1));
      return "";
    case Part::methods:
      if (held_.find(kNoAuthentication) == std::string::npos) {
        return refuse({kVersion, kNoAcceptableMethod});
      }
      expect(Part::request, 4);
      return {kVersion, kNoAuthentication};
    case Part::request:
      return on_request();
    case Part::name_length:
      if (held_[0] == 0) return refuse(socks_answer(SocksReply::not_allowed));
      expect(Part::name, byte_at(held_, 0) + kPortBytes);
      return "";
    case Part::name:
      return on_name();
    case Part::address:
      return refuse(socks_answer(SocksReply::not_allowed));
  }
  return "";
}

std::string SocksHandshake::on_request() {
  if (held_[0] != kVersion) return refuse(socks_answer(SocksReply::failure));
  if (held_[1] != kConnect) return refuse(socks_answer(SocksReply::command_not_supported));
  switch (held_[3]) {
    case kName:
      expect(Part::name_length, 1);
      return "";
    case kIpv4:  // read to its end, because a connection closed on unread bytes loses the answer
      expect(Part::address, 4 + kPortBytes);
      return "";
    case kIpv6:
      expect(Part::address, 16 + kPortBytes);
      return "";
    default:
      return refuse(socks_answer(SocksReply::address_not_supported));
  }
}

std::string SocksHandshake::on_name() {
  std::string_view name(held_.data(), held_.size() - kPortBytes);
  if (name.size() > kSuffix.size() && name.substr(name.size() - kSuffix.size()) == kSuffix) {
    name.remove_suffix(kSuffix.size());
  }
  if (!looks_like_a_token(name)) return refuse(socks_answer(SocksReply::not_allowed));
  token_ = std::string(name);
  over_ = true;
  return "";
}

std::string SocksHandshake::refuse(std::string answer) {
  over_ = true;
  return answer;
}

}  // namespace ptrain::relay
