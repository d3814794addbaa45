// How many chunks to ask one holder for ahead of their arrival. Pure.
//
// Enough to keep the link full over its round trip, and no more: what is in flight at the
// end of a fetch is what may have to be sent twice. The window tries one chunk more, keeps
// it while that brings a higher rate, takes it back when it does not, and tries again now
// and then, since links change.

#pragma once

#include <cstddef>
#include <optional>

#include "libcommon/base/clock.h"

namespace ptrain::transfer {

// One that arrives and one behind it: 8 MiB fill 1 Gbit/s over 60 ms.
inline constexpr std::size_t kFirstWindow = 2;
// 64 MiB: 10 Gbit/s over 50 ms.
inline constexpr std::size_t kLargestWindow = 16;

class TransferWindow {
 public:
  std::size_t size() const { return size_; }
  void chunk_arrived(TimePoint now);

 private:
  void judge(double rate);
  void resize(std::size_t size);

  std::size_t size_ = kFirstWindow;
  std::optional<TimePoint> round_began_;
  std::size_t arrived_in_round_ = 0;
  double known_rate_ = 0;  // chunks a second, before the present try
  bool trying_ = true;
  bool settling_ = false;  // what arrives now was asked for with the window before
  std::size_t quiet_rounds_ = 0;
};

}  // namespace ptrain::transfer
