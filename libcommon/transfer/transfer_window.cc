#include "libcommon/transfer/transfer_window.h"

#include <algorithm>

namespace ptrain::transfer {
namespace {

// Of what one chunk more can bring at most; less is noise.
constexpr double kShareThatPays = 0.5;
constexpr std::size_t kRoundsBetweenTries = 16;

}  // namespace

void TransferWindow::chunk_arrived(TimePoint now) {
  if (!round_began_) {
    round_began_ = now;
    return;
  }
  if (++arrived_in_round_ < size_) return;
  const double elapsed_s = std::max(seconds(now - *round_began_), 1e-9);
  const double rate = static_cast<double>(arrived_in_round_) / elapsed_s;
  round_began_ = now;
  arrived_in_round_ = 0;
  if (settling_) {
    settling_ = false;
  } else {
    judge(rate);
  }
}

void TransferWindow::judge(double rate) {
  const double possible = 1 / static_cast<double>(size_ - 1);
  if (!trying_) {
    known_rate_ = rate;
    trying_ = ++quiet_rounds_ >= kRoundsBetweenTries;
    if (trying_) resize(size_ + 1);
  } else if (rate > (1 + kShareThatPays * possible) * known_rate_) {
    known_rate_ = rate;
    resize(size_ + 1);
  } else {
    trying_ = false;
    quiet_rounds_ = 0;
    resize(size_ - 1);
  }
}

void TransferWindow::resize(std::size_t size) {
  size_ = std::clamp(size, kFirstWindow, kLargestWindow);
  settling_ = true;
}

}  // namespace ptrain::transfer
