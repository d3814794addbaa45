#include "libcommon/portmap/igd_worker.h"

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <utility>

#include "libcommon/os/quiet_thread.h"

namespace ptrain::punch {

struct IgdWorker::State {
  State(os::Loop& the_loop, const net::AddressBytes& gateway, const net::AddressBytes& own)
      : loop(the_loop), igd(gateway, own) {}

  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::function<void(Igd&)>> work;
  bool ended = false;
  os::Loop& loop;  // not touched once it has ended
  Igd igd;         // the thread's

  // On the loop's thread, unless the worker has gone.
  void answer(os::Loop::Callback callback) {
    const std::scoped_lock lock(mutex);
    if (!ended) loop.post(std::move(callback));
  }
  void run() {
    while (true) {
      std::function<void(Igd&)> next;
      {
        std::unique_lock lock(mutex);
        changed.wait(lock, [this] { return ended || !work.empty(); });
        if (ended) return;
        next = std::move(work.front());
        work.pop_front();
      }
      next(igd);
    }
  }
};

struct IgdWorker::Desk {
  struct Waiting {
    std::function<void(const Answer&)> done;
    std::unique_ptr<os::Loop::Timer> timer;
  };
  std::map<std::uint64_t, Waiting> waiting;
  std::uint64_t numbers = 0;

  // Once: by the thread's answer, or by the timer.
  void answer(std::uint64_t number, const Answer& given) {
    const auto found = waiting.extract(number);
    if (!found.empty()) found.mapped().done(given);
  }
};

IgdWorker::IgdWorker(os::Loop& loop, const net::AddressBytes& gateway, const net::AddressBytes& own)
    : loop_(loop),
      state_(std::make_shared<State>(loop, gateway, own)),
      desk_(std::make_shared<Desk>()) {
  os::quiet_thread([state = state_] { state->run(); }).detach();
}

IgdWorker::~IgdWorker() {
  const std::scoped_lock lock(state_->mutex);
  state_->ended = true;
  state_->work.clear();
  state_->changed.notify_all();
}

void IgdWorker::hand_over(std::function<Answer(Igd&)> work,
                          std::function<void(const Answer&)> done) {
  const std::uint64_t number = ++desk_->numbers;
  auto timer = loop_.timer([desk = std::weak_ptr(desk_), number] {
    if (const auto here = desk.lock()) here->answer(number, {.what = Silent{}, .mappings = {}});
  });
  const std::scoped_lock lock(state_->mutex);
  const bool hangs = state_->work.size() >= kMaxIgdAsks;
  timer->set(hangs ? loop_.now() : loop_.now() + kIgdWithin);
  desk_->waiting[number] = {.done = std::move(done), .timer = std::move(timer)};
  if (hangs) return;
  // The thread's: of what is the loop's it holds nothing that it could be the last to hold.
  state_->work.push_back([state = state_.get(), desk = std::weak_ptr(desk_), number,
                          work = std::move(work)](Igd& igd) {
    state->answer([desk, number, given = work(igd)] {
      if (const auto here = desk.lock()) here->answer(number, given);
    });
  });
  state_->changed.notify_all();
}

void IgdWorker::ask(const decltype(Ask::what)& what, Done done) {
  auto work = [what](Igd& igd) -> Answer {
    if (const auto* wanted = std::get_if<Map>(&what)) return {igd.map(*wanted), {}};
    if (const auto* gone = std::get_if<Unmap>(&what)) return {igd.unmap(*gone), {}};
    return {igd.look(), {}};
  };
  hand_over(std::move(work), [done = std::move(done)](const Answer& given) { done(given.what); });
}

void IgdWorker::list(Listed listed) {
  hand_over(
      [](Igd& igd) -> Answer {
        return {Removed{}, igd.list()};
      },
      [listed = std::move(listed)](const Answer& given) { listed(given.mappings); });
}

}  // namespace ptrain::punch
