// A network of simulated processes: connections that take time, break, fall silent or are refused,
// by chance that comes from one seed.
//
// Frames pass through their encoding, in order, as over TCP. A connection that breaks loses what is
// on its way; one end may know of it before the other. What is left of a real connection is its
// bytes a second and its way's delay: no keys are exchanged, but those of both ends are compared.

#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "libcommon/net/transport.h"
#include "tests/sim/virtual_time.h"

namespace ptrain::sim {

// Of each connection that begins under it.
struct Weather {
  Duration least_delay = std::chrono::milliseconds(1);  // one way
  Duration most_delay = std::chrono::milliseconds(1);
  Duration jitter{};                        // of each frame, which still stays in its place
  std::uint64_t bytes_per_s = 125'000'000;  // one way
  Duration mean_life = Duration::max();     // until it breaks
  double silent = 0;   // of the breaks: both ends find out by themselves, seconds later
  double refused = 0;  // of the attempts to connect
};

class VirtualNetwork {
 public:
  VirtualNetwork(VirtualTime& time, std::uint64_t seed) : time_(time), random_(seed) {}
  ~VirtualNetwork();

  void set_weather(const Weather& weather) { weather_ = weather; }
  // For the process that has that loop and that address. `loop` outlives the transport.
  std::unique_ptr<net::Transport> transport(VirtualLoop& loop, std::string address);

  // Nothing gets to that address or from it for so long; TCP repeats what does not, unless the ends
  // give up before.
  void part(const std::string& address, Duration length);
  // A defect: frames sent by that address of which `swallowed` holds are never sent, and no number
  // shows it.
  void plant(std::string address, std::function<bool(const wire::Frame&)> swallowed);

  std::uint64_t opened() const { return opened_; }    // connections
  std::uint64_t broken() const { return broken_; }    // of them, by chance
  std::uint64_t carried() const { return carried_; }  // frames
  // Of all that has arrived anywhere, and when.
  std::uint64_t digest() const { return digest_; }

  // ---- For the sources of this network's connections.
  struct Connection;
  // One end of a connection: 0 who dialled, 1 who listens. Hangs up when it goes.
  class End;
  class Dialer;
  class Listener;

 private:
  class HostTransport;
  struct Packet;

  double chance() { return std::uniform_real_distribution<>(0, 1)(random_); }
  Duration between(Duration least, Duration most);
  bool apart(const Connection& connection) const;
  std::shared_ptr<Connection> dial(const std::string& from, const net::DialerOptions& options);
  void meet(const std::shared_ptr<Connection>& connection);
  void open(const std::shared_ptr<Connection>& connection);
  void send(const std::shared_ptr<Connection>& connection, std::size_t from, Packet packet);
  void arrive(const std::shared_ptr<Connection>& connection, std::size_t to, Packet packet);
  void cut(const std::shared_ptr<Connection>& connection, bool silently);
  void end(const std::shared_ptr<Connection>& connection, std::size_t side, TimePoint when);
  void mark(std::uint64_t number, std::size_t side, const Packet& packet);

  VirtualTime& time_;
  std::mt19937_64 random_;
  Weather weather_;
  std::map<std::string, Listener*> listeners_;  // by address and port
  std::map<std::uint64_t, std::weak_ptr<Connection>> connections_;
  std::map<std::string, TimePoint> parted_;  // until then
  std::string defect_of_;
  std::function<bool(const wire::Frame&)> swallowed_;
  std::uint64_t numbers_ = 0;
  std::uint16_t ports_ = 49'152;
  std::uint64_t opened_ = 0;
  std::uint64_t broken_ = 0;
  std::uint64_t carried_ = 0;
  std::uint64_t digest_ = 0xcbf29ce484222325;
};

}  // namespace ptrain::sim
