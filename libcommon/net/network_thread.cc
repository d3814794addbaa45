#include "libcommon/net/network_thread.h"

#include <exception>
#include <utility>

#include <fmt/format.h>
#include <signal.h>

namespace ptrain::net {
namespace {

class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    ::pthread_sigmask(SIG_BLOCK, &all, &before_);
  }
  ~SignalsBlocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_;
};

bool is_drained(const PeerStatus& status) { return status.drained; }

}  // namespace

NetworkThread::NetworkThread(Network& network, Exchange& exchange)
    : network_(network), exchange_(exchange) {
  const SignalsBlocked blocked;
  thread_ = std::thread([this] { run(); });
}

NetworkThread::~NetworkThread() { end(std::move(abandoned_), kFailureLinger); }

void NetworkThread::run() {
  try {
    network_.run();
  } catch (const Error& error) {
    exchange_.collapse(error);
  } catch (const std::exception& exception) {
    exchange_.collapse(
        Error(ErrorKind::internal, fmt::format("the network thread ended: {}", exception.what())));
  }
}

bool NetworkThread::end(std::string reason, Duration linger) {
  if (!thread_.joinable()) return true;
  exchange_.order_goodbye(std::move(reason));
  const bool drained = exchange_.wait(linger, is_drained);
  exchange_.order_stop();
  thread_.join();
  return drained;
}

}  // namespace ptrain::net
