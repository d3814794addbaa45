#include "libcommon/net/punch_tunnel.h"

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>

#include <linux/sockios.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libcommon/base/error.h"
#include "libcommon/os/quiet_thread.h"
#include "libcommon/os/tcp_silence.h"
#include "libcommon/os/tcp_tuning.h"

namespace ptrain::net {
namespace {

// For what was written last to arrive, where the other end still acknowledges.
constexpr int kDrainLooks = 50;
constexpr auto kDrainLook = std::chrono::milliseconds(20);

// The next attempt needs the same two ports, and TCP would keep them: for a minute after an orderly
// end, and for as long as it repeats what nobody acknowledges. So the end is abrupt, once what was
// sent has arrived.
void end_abruptly(os::FileDescriptor& socket) {
  for (int i = 0; i < kDrainLooks; ++i) {
    int unacknowledged = 0;
    const auto state = os::read_tcp_state(socket.get());
    if (!state || state->repetitions > 0 || state->probes > 0) break;
    if (::ioctl(socket.get(), SIOCOUTQ, &unacknowledged) != 0 || unacknowledged == 0) break;
    std::this_thread::sleep_for(kDrainLook);
  }
  const linger at_once{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  socket.reset();
}

}  // namespace

class PunchTunnel::Work {
 public:
  Work(os::FileDescriptor remote, LocalEnd local_end, std::string local_name,
       std::shared_ptr<CarriedBytes> carried)
      : remote_(std::move(remote)),
        local_end_(local_end),
        local_name_(std::move(local_name)),
        carried_(std::move(carried)),
        stop_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
        changed_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (!stop_.valid() || !changed_.valid()) throw io_error("make an eventfd", errno);
  }

  void run() {
    std::string why;
    try {
      os::tune_tcp(remote_.get());
      const auto local =
          meet_libzmq(local_end_, local_name_, stop_.get(), [this] { set(State::joined, ""); });
      if (local) splice_both_ways(remote_.get(), local->get(), stop_.get(), *carried_);
    } catch (const std::exception& error) {
      why = error.what();
    }
    end_abruptly(remote_);
    set(State::ended, std::move(why));
  }

  void stop() { ring(stop_.get()); }
  int changed_fd() const { return changed_.get(); }
  State take_state() {
    std::uint64_t ignored = 0;
    [[maybe_unused]] const auto got = ::read(changed_.get(), &ignored, sizeof ignored);
    const std::lock_guard lock(mutex_);
    return state_;
  }
  std::string why() const {
    const std::lock_guard lock(mutex_);
    return why_;
  }

 private:
  static void ring(int fd) {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(fd, &one, sizeof one);
  }
  void set(State state, std::string why) {
    {
      const std::lock_guard lock(mutex_);
      state_ = state;
      why_ = std::move(why);
    }
    ring(changed_.get());
  }

  os::FileDescriptor remote_;
  const LocalEnd local_end_;
  const std::string local_name_;
  const std::shared_ptr<CarriedBytes> carried_;
  os::FileDescriptor stop_;
  os::FileDescriptor changed_;
  mutable std::mutex mutex_;
  State state_ = State::waiting;
  std::string why_;
};

PunchTunnel::PunchTunnel(os::FileDescriptor remote, LocalEnd local_end, std::string local_name,
                         std::shared_ptr<CarriedBytes> carried)
    : work_(std::make_shared<Work>(std::move(remote), local_end, std::move(local_name),
                                   std::move(carried))) {
  os::quiet_thread([work = work_] { work->run(); }).detach();
}

PunchTunnel::~PunchTunnel() { work_->stop(); }

int PunchTunnel::changed_fd() const { return work_->changed_fd(); }
PunchTunnel::State PunchTunnel::state() { return work_->take_state(); }
std::string PunchTunnel::why() const { return work_->why(); }

}  // namespace ptrain::net
