#include "tools/relay/operator_client.h"

#include <fmt/format.h>

#include "libcommon/base/error.h"

namespace ptrain::relay {

namespace {

// The key is the operator's only where it is the relay's own.
constexpr const char* kWrongKey = "--state must be the folder of that relay, with its key";

net::Endpoint with_key(net::Endpoint relay, const net::KeyPair& key) {
  if (!relay.key) relay.key = key.public_key();
  return relay;
}

}  // namespace

OperatorClient::OperatorClient(const net::Endpoint& relay, const net::KeyPair& key)
    : inquiry_(with_key(relay, key), key) {}

std::vector<std::string> OperatorClient::survey(net::request::Subject subject) {
  std::vector<std::string> lines;
  std::uint64_t after = 0;
  for (int i = 0; i < kMaxSurveyPages; ++i) {
    net::answer::Surveyed next = page(subject, after);
    for (std::string& line : next.lines) lines.push_back(std::move(line));
    if (next.next == 0) break;
    after = next.next;
  }
  return lines;
}

net::answer::Surveyed OperatorClient::page(net::request::Subject subject, std::uint64_t after) {
  const auto answer = [&] {
    try {
      return inquiry_.ask(net::request::Survey{.subject = subject, .after = after});
    } catch (const Error& error) {
      if (error.kind() == ErrorKind::unavailable) {
        throw Error(error.kind(), error.what(),
                    "is ptrain-relay serve running, with this --state?");
      }
      if (error.kind() == ErrorKind::permission) throw Error(error.kind(), error.what(), kWrongKey);
      throw;
    }
  }();
  if (const auto* page = std::get_if<net::answer::Surveyed>(&answer.body)) return *page;
  const auto* refused = std::get_if<net::answer::Refused>(&answer.body);
  throw Error(ErrorKind::permission,
              fmt::format("the relay at {} refuses: {}", inquiry_.relay(),
                          refused != nullptr ? refused->text : "an answer of another kind"),
              kWrongKey);
}

}  // namespace ptrain::relay
