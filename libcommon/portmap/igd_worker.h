// UPnP at one gateway, asked by a thread of its own, since miniupnpc blocks. Answers come on the
// loop's thread, in the order of the asks; what takes longer than kIgdWithin is Silent, and its
// answer is not heard any more. The loop outlives the object; the thread may outlive both, in a
// call of miniupnpc, and then does nothing but end.

#pragma once

#include <functional>
#include <memory>
#include <variant>
#include <vector>

#include "libcommon/base/clock.h"
#include "libcommon/os/loop.h"
#include "libcommon/portmap/ask.h"
#include "libcommon/portmap/igd.h"

namespace ptrain::punch {

inline constexpr Duration kIgdWithin = std::chrono::seconds(20);
inline constexpr std::size_t kMaxIgdAsks = 64;  // that wait

class IgdWorker {
 public:
  using Done = std::function<void(const decltype(Outcome::what)&)>;
  using Listed = std::function<void(const std::vector<ListedMapping>&)>;
  IgdWorker(os::Loop& loop, const net::AddressBytes& gateway, const net::AddressBytes& own);
  ~IgdWorker();
  IgdWorker(const IgdWorker&) = delete;
  IgdWorker& operator=(const IgdWorker&) = delete;

  void ask(const decltype(Ask::what)& what, Done done);
  // None where it takes too long.
  void list(Listed listed);

 private:
  struct State;  // the thread's, too
  struct Desk;   // the loop's: who waits
  struct Answer {
    decltype(Outcome::what) what;
    std::vector<ListedMapping> mappings;
  };
  void hand_over(std::function<Answer(Igd&)> work, std::function<void(const Answer&)> done);

  os::Loop& loop_;
  std::shared_ptr<State> state_;
  std::shared_ptr<Desk> desk_;
};

}  // namespace ptrain::punch
