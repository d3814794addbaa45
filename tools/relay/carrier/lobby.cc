#include "tools/relay/carrier/lobby.h"

#include <cerrno>
#include <iterator>
#include <utility>

#include <fcntl.h>
#include <sys/socket.h>

#include "libcommon/base/error.h"

namespace ptrain::relay {
namespace {

os::FileDescriptor spare_descriptor() {
  return os::FileDescriptor(::open("/dev/null", O_RDONLY | O_CLOEXEC));
}

bool is_out_of_files(int error_number) {
  return error_number == EMFILE || error_number == ENFILE || error_number == ENOBUFS ||
         error_number == ENOMEM;
}

// Closes with a reset, which leaves nothing behind in this kernel.
void turn_away(os::FileDescriptor socket) {
  const linger at_once{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

// A connection that is closed on unread bytes is reset, and may lose the answer.
void discard_input(int socket) {
  char discarded[4096];
  static_cast<void>(!::recv(socket, discarded, sizeof discarded, MSG_DONTWAIT));
}

}  // namespace

class Lobby::Guest final : public Watched {
 public:
  Guest(Lobby& lobby, os::FileDescriptor socket, SourceAddress source, TimePoint deadline)
      : socket_(std::move(socket)), source_(source), deadline_(deadline), lobby_(lobby) {}

  void on_events(std::uint32_t) override {
    while (handshake_.wanted() > 0) {
      char bytes[512];
      static_assert(sizeof bytes > 255 + 2, "the longest part fits");
      const ssize_t count = ::recv(socket_.get(), bytes, handshake_.wanted(), MSG_DONTWAIT);
      if (count < 0 && errno == EAGAIN) return;
      if (count <= 0) return lobby_.remove(self_);
      const std::string answer =
          handshake_.take(std::string_view(bytes, static_cast<std::size_t>(count)));
      if (answer.empty()) continue;
      // A few bytes into an empty buffer: only a broken connection does not take them.
      const ssize_t sent = ::send(socket_.get(), answer.data(), answer.size(), MSG_NOSIGNAL);
      if (sent != static_cast<ssize_t>(answer.size())) return lobby_.remove(self_);
    }
    lobby_.decide(self_);
  }

  os::FileDescriptor socket_;
  const SourceAddress source_;
  const TimePoint deadline_;
  SocksHandshake handshake_;
  Guests::iterator self_;
  std::list<Guests::iterator>::iterator among_its_source_;

 private:
  Lobby& lobby_;
};

Lobby::Lobby(LobbyLimits limits, os::FileDescriptor listener, Poller& poller, TokenDesk& desk,
             CarrierCounters& counters, const Clock& clock, Admit admit)
    : limits_(limits),
      listener_(std::move(listener)),
      spare_(spare_descriptor()),
      poller_(poller),
      desk_(desk),
      counters_(counters),
      clock_(clock),
      admit_(std::move(admit)),
      failures_(limits.failures) {
  if (!poller_.watch(listener_.get(), *this, EPOLLIN)) throw io_error("watch the data port", errno);
}

Lobby::~Lobby() { close(); }

void Lobby::on_events(std::uint32_t) {
  const TimePoint now = clock_.now();
  for (int i = 0; i < kAcceptsPerTurn && accept_one(now); ++i) {
  }
}

bool Lobby::accept_one(TimePoint now) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  os::FileDescriptor socket(::accept4(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size,
                                      SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (!socket.valid()) {
    // Anything else is the failure of one connection, and the next may be well.
    if (is_out_of_files(errno)) pause_accepting(now);
    return errno != EAGAIN && accepting_;
  }
  ++counters_.accepted;
  const SourceAddress source = source_of(address);
  if (!failures_.has(source, now) || shares_.counted(source) >= limits_.handshakes_per_source) {
    ++counters_.over_limits;
    turn_away(std::move(socket));
    return true;
  }
  greet(std::move(socket), source, now);
  return true;
}

// The connection that waits would otherwise wake us again at once, and wait for ever.
void Lobby::pause_accepting(TimePoint now) {
  ++counters_.out_of_files;
  spare_.reset();
  turn_away(os::FileDescriptor(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC)));
  spare_ = spare_descriptor();
  poller_.change(listener_.get(), *this, 0);
  accepting_ = false;
  accept_again_ = now + kAcceptPause;
}

// Whoever takes long gives way, of the source with the most: a flood of handshakes that never end
// costs a real one, which takes two round trips, nothing.
void Lobby::greet(os::FileDescriptor socket, const SourceAddress& source, TimePoint now) {
  if (guests_.size() >= limits_.handshakes) {
    ++counters_.over_limits;
    remove(guests_from_.at(*shares_.largest()).front());
  }
  guests_.emplace_back(*this, std::move(socket), source, now + limits_.handshake);
  const auto guest = std::prev(guests_.end());
  guest->self_ = guest;
  auto& of_source = guests_from_[source];
  guest->among_its_source_ = of_source.insert(of_source.end(), guest);
  shares_.add(source);
  ++counters_.handshakes;
  if (!poller_.watch(guest->socket_.get(), *guest, EPOLLIN)) remove(guest);
}

void Lobby::decide(Guests::iterator guest) {
  const TimePoint now = clock_.now();
  std::optional<Seat> seat;
  if (const auto& token = guest->handshake_.token()) {
    seat = desk_.redeem(*token, now);
    if (!seat) {
      const std::string answer = socks_answer(SocksReply::host_unreachable);
      static_cast<void>(!::send(guest->socket_.get(), answer.data(), answer.size(), MSG_NOSIGNAL));
    }
  }
  if (!seat) {
    ++counters_.refused;
    failures_.spend(guest->source_, now);
    discard_input(guest->socket_.get());
    return remove(guest);
  }
  poller_.forget(guest->socket_.get(), *guest);
  os::FileDescriptor socket = std::move(guest->socket_);
  const SourceAddress source = guest->source_;
  remove(guest);
  admit_(std::move(socket), *seat, source);
}

void Lobby::remove(Guests::iterator guest) {
  if (guest->socket_.valid()) poller_.forget(guest->socket_.get(), *guest);
  const auto from = guests_from_.find(guest->source_);
  from->second.erase(guest->among_its_source_);
  if (from->second.empty()) guests_from_.erase(from);
  shares_.remove(guest->source_);
  --counters_.handshakes;
  guests_.erase(guest);
}

void Lobby::tick(TimePoint now) {
  while (!guests_.empty() && guests_.front().deadline_ <= now) {
    ++counters_.timed_out;
    failures_.spend(guests_.front().source_, now);
    remove(guests_.begin());
  }
  if (!accepting_ && now >= accept_again_ && listener_.valid()) {
    accepting_ = true;
    poller_.change(listener_.get(), *this, EPOLLIN);
  }
}

void Lobby::close() {
  if (listener_.valid()) poller_.forget(listener_.get(), *this);
  listener_.reset();
  while (!guests_.empty()) remove(guests_.begin());
}

}  // namespace ptrain::relay
