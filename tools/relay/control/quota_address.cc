#include "tools/relay/control/quota_address.h"

#include <cstring>

#include <arpa/inet.h>
#include <netinet/in.h>

namespace ptrain::relay {

std::string quota_address(std::string_view host) {
  const std::string text(host);
  in6_addr address{};
  if (::inet_pton(AF_INET6, text.c_str(), &address) != 1) return text;
  char written[INET6_ADDRSTRLEN] = "";
  if (IN6_IS_ADDR_V4MAPPED(&address)) {
    return ::inet_ntop(AF_INET, address.s6_addr + 12, written, sizeof written);
  }
  std::memset(address.s6_addr + 8, 0, 8);
  return std::string(::inet_ntop(AF_INET6, &address, written, sizeof written)) + "/64";
}

}  // namespace ptrain::relay
