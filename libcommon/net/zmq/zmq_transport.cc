#include "libcommon/net/zmq/zmq_transport.h"

#include <utility>

#include <fmt/format.h>

#include "libcommon/net/listen_address.h"
#include "libcommon/net/punch_desk.h"
#include "libcommon/net/zmq/dialer.h"
#include "libcommon/net/zmq/listener.h"
#include "libcommon/net/zmq/zmq_control_link.h"

namespace ptrain::net {

ZmqTransport::ZmqTransport(os::Loop& loop, const Clock& clock) : loop_(loop), clock_(clock) {
  // A dialled connection takes three, and the limit that libzmq begins with is 1,023.
  context_.set(zmq::ctxopt::max_sockets, context_.get(zmq::ctxopt::socket_limit));
}

void ZmqTransport::admit(Admission& admission, std::function<void(const std::string&)> refused) {
  admission_ = &admission;
  refused_ = std::move(refused);
}

Transport::Listening ZmqTransport::listen(const ListenerOptions& options) {
  ListenAddress at;
  if (options.endpoint.kind == EndpointKind::direct) {
    at = listen_address(options.endpoint.host, clock_);
  }
  try {
    if (options.key && !zap_) {
      zap_ = std::make_unique<ZapHandler>(context_, *admission_);
      zap_entry_ = std::make_unique<LoopEntry>(
          loop_,
          LoopEntry::Polled{.add_poll_items = [this](auto& items) { zap_->add_poll_items(items); },
                            .process = [this] { zap_->process(refused_); },
                            .next_tick = [] { return TimePoint::max(); }});
    }
    auto listener = std::make_unique<Listener>(context_, options, at.host, *admission_);
    const Endpoint bound = listener->bound();
    return {.source = std::move(listener), .bound = bound, .remark = std::move(at.remark)};
  } catch (const zmq::error_t& error) {
    throw Error(ErrorKind::try_again, fmt::format("no socket: {}", error.what()));
  }
}

std::unique_ptr<PathSource> ZmqTransport::dial(DialerOptions options) {
  return std::make_unique<Dialer>(context_, std::move(options));
}

// Its connections meet libzmq by socket files of this host.
std::unique_ptr<Punching> ZmqTransport::punch(PunchingOptions options, RandomSource& random) {
  return std::make_unique<PunchDesk>(std::move(options), random);
}

std::unique_ptr<ControlLink> ZmqTransport::ask_relay(ControlLinkOptions options) {
  return std::make_unique<ZmqControlLink>(context_, std::move(options));
}

}  // namespace ptrain::net
