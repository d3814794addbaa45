#include "tools/lab_link/link.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>

#include <net/ethernet.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>

#include "libcommon/base/error.h"

namespace ptrain::lab_link {
namespace {

// Frames of one reading; then the other direction has its turn.
constexpr int kMostFramesAtOnce = 256;
// A busy link is looked at this often and not for each frame, which would cost more than to carry
// it. A frame is late by at most this much for it.
constexpr Duration kTick = std::chrono::microseconds(250);
// A link that was looked at so short a time ago is busy. One on which a frame comes now and then,
// and its answer at once, is not.
constexpr Duration kBusyWithin = 2 * kTick;
constexpr std::size_t kLargestFrame = 64 << 10;

timespec timespec_of(Duration wait) {
  const auto whole = std::chrono::duration_cast<std::chrono::seconds>(wait);
  return {.tv_sec = whole.count(), .tv_nsec = (wait - whole).count()};
}

void sleep_for(Duration wait) {
  const timespec time = timespec_of(wait);
  ::nanosleep(&time, nullptr);
}

// A cable is not late because the machine computes. Where that is not allowed it may be late.
void be_punctual() {
  ::prctl(PR_SET_TIMERSLACK, 1UL);  // else the kernel adds up to 50 us to every wait
  const sched_param lowest{.sched_priority = ::sched_get_priority_min(SCHED_RR)};
  ::sched_setscheduler(0, SCHED_RR, &lowest);
}

// Until a frame comes, or one arrives.
void await_work(const Direction& there, const Direction& back, const Clock& clock) {
  std::array<pollfd, 2> incoming{pollfd{there.incoming_fd(), POLLIN, 0},
                                 pollfd{back.incoming_fd(), POLLIN, 0}};
  std::optional<TimePoint> due = there.next_arrival();
  if (const auto other = back.next_arrival()) due = due ? std::min(*due, *other) : *other;
  timespec wait{};
  if (due) wait = timespec_of(std::max(Duration{}, *due - clock.now()));
  if (::ppoll(incoming.data(), incoming.size(), due ? &wait : nullptr, nullptr) < 0 &&
      errno != EINTR) {
    throw io_error("wait for frames", errno);
  }
}

}  // namespace

bool goes_over_the_line(std::span<const std::byte> frame) {
  if (frame.size() < sizeof(ether_header)) return false;
  const bool to_a_group = (std::to_integer<int>(frame[0]) & 1) != 0;
  const int type = std::to_integer<int>(frame[12]) << 8 | std::to_integer<int>(frame[13]);
  return !to_a_group && (type == ETHERTYPE_IP || type == ETHERTYPE_IPV6);
}

bool Direction::take(TimePoint now) {
  std::array<std::byte, kLargestFrame> room;
  for (int i = 0; i < kMostFramesAtOnce; ++i) {
    const auto frame = from_.read(room);
    if (!frame) return false;
    if (!goes_over_the_line(*frame)) {
      to_.write(*frame);
      continue;
    }
    if (!under_way_.has_room_for(frame->size())) continue;
    if (const auto arrival = line_.carry(now, frame->size())) under_way_.add(*arrival, *frame);
  }
  return true;
}

void Direction::deliver(TimePoint now) {
  for (auto due = next_arrival(); due && *due <= now; due = next_arrival()) {
    to_.write(under_way_.take_next());
  }
}

void run_link(Direction& there, Direction& back, const Clock& clock) {
  be_punctual();
  TimePoint last{};
  while (true) {
    await_work(there, back, clock);
    const TimePoint now = clock.now();
    const bool busy = now - last < kBusyWithin;
    last = now;
    const bool more_there = there.take(now);
    const bool more_back = back.take(now);
    there.deliver(now);
    back.deliver(now);
    if (busy && !more_there && !more_back) sleep_for(kTick);
  }
}

}  // namespace ptrain::lab_link
