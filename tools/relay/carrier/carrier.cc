#include "tools/relay/carrier/carrier.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "libcommon/base/error.h"
#include "libcommon/os/quiet_thread.h"
#include "tools/relay/carrier/listening_socket.h"

namespace ptrain::relay {
namespace {

// The control port, its connections, files: what the process needs beside the data port.
constexpr std::size_t kOtherDescriptors = 256;
// A socket, and the pipe of what it sent and its partner has not taken.
constexpr std::size_t kDescriptorsPerConnection = 3;

// Allows the process as many files as the limits need, or else lowers the limits to what it
// may have, so that nobody finds out under load.
CarrierOptions affordable(CarrierOptions options, Log& log) {
  std::size_t& handshakes = options.lobby.handshakes;
  std::size_t& connections = options.peers.connections;
  const rlim_t needed =
      kOtherDescriptors + 2 * kIdlePipes + handshakes + kDescriptorsPerConnection * connections;
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  if (files.rlim_cur >= needed) return options;
  files.rlim_cur = std::min(needed, files.rlim_max);
  static_cast<void>(::setrlimit(RLIMIT_NOFILE, &files));
  ::getrlimit(RLIMIT_NOFILE, &files);
  if (files.rlim_cur >= needed) return options;
  const std::size_t reserved = kOtherDescriptors + 2 * kIdlePipes;
  const std::size_t left = files.rlim_cur > reserved ? files.rlim_cur - reserved : 0;
  handshakes = std::clamp<std::size_t>(left / 4, 1, handshakes);
  const std::size_t most = left > handshakes ? (left - handshakes) / kDescriptorsPerConnection : 0;
  connections = std::clamp<std::size_t>(most, 2, connections);
  log.warning(fmt::format("{} open files are allowed (ulimit -Hn): {} connections at a time",
                          files.rlim_cur, connections));
  return options;
}

// Wakes the poller; what it means is looked up by the loop.
class Wake final : public Watched {
 public:
  void on_events(std::uint32_t) override {}
};

}  // namespace

Carrier::Carrier(CarrierOptions options, TokenDesk& desk, Log& log, const Clock& clock)
    : desk_(desk),
      clock_(clock),
      options_(affordable(std::move(options), log)),
      ledger_(options_.peers),
      junction_(options_.streams, poller_, ledger_, counters_, clock),
      lobby_(options_.lobby, listening_socket(options_.host, options_.port, SOCK_STREAM), poller_,
             desk, counters_, clock,
             [this](os::FileDescriptor socket, const Seat& seat, const SourceAddress& source) {
               // A lease that ended must not end the streams of the one that followed it.
               junction_.revoke(desk_.take_revoked());
               junction_.arrive(std::move(socket), seat, source);
             }) {
  port_ = lobby_.port();
  thread_ = os::quiet_thread([this] { run(); });
}

Carrier::~Carrier() {
  try {
    stop(Duration::zero());
  } catch (const std::exception&) {
    // The log has it; who wants to act on it calls stop().
  }
}

bool Carrier::stop(Duration drain) {
  if (thread_.joinable()) {
    drain_ = drain;
    stop_bell_.ring();
    thread_.join();
    if (failure_) std::rethrow_exception(failure_);
  }
  return drained_;
}

void Carrier::run() {
  try {
    serve();
  } catch (const std::exception& error) {
    failure_ = std::current_exception();
    trouble_.say(error.what());
  }
}

void Carrier::serve() {
  Wake wake;
  poller_.watch(stop_bell_.fd(), wake, EPOLLIN);
  poller_.watch(desk_.revoked_fd(), wake, EPOLLIN);
  std::optional<TimePoint> end;
  TimePoint next_tick{};
  while (true) {
    poller_.wait(next_wait(clock_.now()));
    const TimePoint now = clock_.now();
    junction_.revoke(desk_.take_revoked());
    junction_.round(now);
    if (now >= next_tick) {
      lobby_.tick(now);
      junction_.tick(now);
      next_tick = now + kCarrierTick;
    }
    if (!end && drain_.load() != Duration::max()) {
      stop_bell_.silence();
      lobby_.close();
      junction_.cut_waiting();
      end = now + drain_.load();
    }
    drained_ = !junction_.has_streams();
    if (end && (drained_ || now >= *end)) break;
  }
  junction_.close();
  poller_.forget(stop_bell_.fd(), wake);
  poller_.forget(desk_.revoked_fd(), wake);
}

Duration Carrier::next_wait(TimePoint now) const {
  const TimePoint next = junction_.next_round();
  return next <= now ? Duration::zero() : std::min(next - now, kCarrierTick);
}

}  // namespace ptrain::relay
