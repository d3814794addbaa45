#include "libcommon/net/zmq/zap.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include <fmt/format.h>

#include "libcommon/net/zmq/zmq_parts.h"

namespace ptrain::net {
namespace {

// The parts of a CURVE request: version, request id, domain, address, identity, mechanism, key.
constexpr std::size_t kRequestParts = 7;
constexpr std::size_t kRequestId = 1;
constexpr std::size_t kAddress = 3;
constexpr std::size_t kMechanism = 5;
constexpr std::size_t kClientKey = 6;

std::optional<PublicKey> client_key(const Parts& request) {
  if (request.parts.size() != kRequestParts) return std::nullopt;
  const zmq::message_t& key = request.parts[kClientKey];
  if (request.parts[kMechanism].to_string_view() != "CURVE") return std::nullopt;
  PublicKey result;
  if (key.size() != result.size()) return std::nullopt;
  std::memcpy(result.data(), key.data(), result.size());
  return result;
}

}  // namespace

ZapHandler::ZapHandler(zmq::context_t& context, const Admission& admission)
    : socket_(context, zmq::socket_type::rep), admission_(admission) {
  socket_.set(zmq::sockopt::linger, 0);
  socket_.bind("inproc://zeromq.zap.01");
}

void ZapHandler::add_poll_items(std::vector<PollItem>& items) {
  items.push_back(poll_item(socket_));
}

void ZapHandler::process(const std::function<void(const std::string&)>& refused) {
  while (auto request = receive_parts(socket_, kRequestParts)) {
    const auto key = client_key(*request);
    const bool admitted = key && admission_.admits(*key);
    if (!admitted && request->parts.size() > kAddress) {
      const std::string remedy = key ? admission_.remedy_for(*key) : "";
      refused(fmt::format("{} with key {}, which is not admitted{}{}",
                          request->parts[kAddress].to_string_view(), key ? to_hex(*key) : "(none)",
                          remedy.empty() ? "" : ": ", remedy));
    }
    const std::string id =
        request->parts.size() > kRequestId ? request->parts[kRequestId].to_string() : "";
    for (const std::string& part : {std::string("1.0"), id, std::string(admitted ? "200" : "400"),
                                    std::string(admitted ? "OK" : "key not admitted"),
                                    admitted ? to_hex(*key) : std::string()}) {
      uninterrupted([&] { return socket_.send(zmq::buffer(part), zmq::send_flags::sndmore); });
    }
    uninterrupted([&] {
      return socket_.send(zmq::message_t(), zmq::send_flags::none);  // no metadata
    });
  }
}

}  // namespace ptrain::net
