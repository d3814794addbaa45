#include "libcommon/net/host_lookup.h"

#include <mutex>
#include <system_error>
#include <utility>

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "libcommon/os/quiet_thread.h"

namespace ptrain::net {
namespace {

bool is_numeric(const std::string& host) {
  in_addr ignored{};
  return host.empty() || host.starts_with('[') || ::inet_pton(AF_INET, host.c_str(), &ignored) == 1;
}

// Empty where there is none. IPv4, as libzmq takes of a name.
std::string look_up(const std::string& host) {
  // Endpoints of that name are local (endpoint.h), whatever a name server says (RFC 6761).
  if (host == "localhost") return "127.0.0.1";
  addrinfo hints{};
  hints.ai_family = AF_INET;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (::getaddrinfo(host.c_str(), nullptr, &hints, &found) != 0) return "";
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(found, &::freeaddrinfo);
  char text[NI_MAXHOST] = "";
  ::getnameinfo(found->ai_addr, found->ai_addrlen, text, sizeof text, nullptr, 0, NI_NUMERICHOST);
  return text;
}

}  // namespace

struct HostLookup::Query {
  std::mutex mutex;
  std::optional<std::string> answer;
};

HostLookup::HostLookup(std::string host) : host_(std::move(host)), numeric_(is_numeric(host_)) {}

std::optional<std::string> HostLookup::address(TimePoint now) {
  if (numeric_) return host_;
  std::optional<std::string> answer;
  if (query_) {
    const std::lock_guard lock(query_->mutex);
    answer = query_->answer;
  }
  if (answer) {
    query_.reset();
    fruitless_ = answer->empty();
  }
  if (answer && !answer->empty()) known_ = std::move(answer);
  if (!known_) begin(now);
  return known_;
}

void HostLookup::doubt(TimePoint now) {
  if (!numeric_) begin(now);
}

void HostLookup::begin(TimePoint now) {
  if (query_ || now < next_query_at_) return;
  next_query_at_ = now + kLookupPause;
  query_ = std::make_shared<Query>();
  try {
    os::quiet_thread([query = query_, host = host_] {
      std::string answer = look_up(host);
      const std::lock_guard lock(query->mutex);
      query->answer = std::move(answer);
    }).detach();
  } catch (const std::system_error&) {
    query_.reset();  // too many threads: as if no name server had answered
    fruitless_ = true;
  }
}

}  // namespace ptrain::net
