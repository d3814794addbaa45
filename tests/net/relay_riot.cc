// A mob of strangers at a relay, and one honest pair beside it. The first argument says what; the
// relay's word, as *serve* prints it, comes next, and then NAME=VALUE.
//
//   riot    from `addresses` addresses of the net `net`, all that strangers do, until it is killed;
//           no more than `rate` times a second
//   abuse   two members exchange bytes through the data port for `seconds`, in every other one of
//           which the process `mob`, a riot, stands still; says what that took with it and without

#include <algorithm>
#include <chrono>
#include <csignal>
#include <memory>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "libcommon/os/file_descriptor.h"
#include "tests/net/raw_curve_client.h"
#include "tests/net/relay_arguments.h"
#include "tests/unit/relay/relay_client.h"

namespace {

using namespace ptrain;
using namespace std::chrono_literals;
using relay::Arguments;
using relay::connect_from;
using relay::data_of;
using relay::Json;
using relay::large_context;
using relay::receive_all;
using relay::RelayClient;
using relay::run_of;
using relay::send_all;
using relay::socks_request;
using relay::TestRun;
using Clock = std::chrono::steady_clock;
namespace request = net::request;
namespace answer = net::answer;

// ---- The honest pair.

struct HonestPair {
  explicit HonestPair(const net::TicketRelay& relay) : low(relay.control), high(relay.control) {
    low.join(run, "stage-0");
    high.join(run, "stage-1");
    const auto ours = low.ask_for<answer::Introduced>(
        request::Introduce{run.as("stage-0"), high.place("stage-1"), 1});
    const auto theirs = high.push_of<answer::Introduced>();
    near = connect_from("", data_of(relay));
    far = connect_from("", data_of(relay));
    send_all(near.get(), socks_request(ours.tokens.at(0).token));
    send_all(far.get(), socks_request(theirs.tokens.at(0).token));
    char reply[12];  // the method, and success
    if (!receive_all(near.get(), reply, sizeof reply) ||
        !receive_all(far.get(), reply, sizeof reply)) {
      throw std::runtime_error("the pair is not joined");
    }
    echo = std::thread([this] {
      char byte = 0;
      while (::recv(far.get(), &byte, 1, 0) == 1 && send_all(far.get(), {&byte, 1})) {
      }
    });
  }
  ~HonestPair() {
    ::shutdown(far.get(), SHUT_RDWR);
    echo.join();
  }

  // Seconds from one end to the other and back; nothing when the stream has ended.
  std::optional<double> round_trip() {
    const auto begin = Clock::now();
    char byte = 'x';
    if (!send_all(near.get(), {&byte, 1}) || !receive_all(near.get(), &byte, 1)) return {};
    return std::chrono::duration<double>(Clock::now() - begin).count();
  }
  // And of a request.
  double request_s() {
    const auto begin = Clock::now();
    low.ask_for<answer::Granted>(request::Renew{run.as("stage-0")});
    high.send(request::Renew{run.as("stage-1")});
    while (high.receive(0ms)) {
    }
    return std::chrono::duration<double>(Clock::now() - begin).count();
  }

  TestRun run{1};
  RelayClient low;
  RelayClient high;
  os::FileDescriptor near;
  os::FileDescriptor far;
  std::thread echo;
};

// ---- All that strangers do, from many addresses, until killed.

class Mob {
 public:
  Mob(const Arguments& arguments, std::uint64_t seed)
      : arguments_(arguments), context_(large_context()), random_(seed) {}

  [[noreturn]] void riot() {
    const auto pause = std::chrono::microseconds(1'000'000 / arguments_.number("rate", 200));
    while (true) {
      try {
        act();
      } catch (const std::exception&) {
        // The relay defends itself.
      }
      std::this_thread::sleep_for(pause);
    }
  }

 private:
  int dice(int sides) { return std::uniform_int_distribution<int>(0, sides - 1)(random_); }
  std::string address() {
    return fmt::format("{}.{}", arguments_.text("net", "127.7.0"),
                       1 + dice(arguments_.number("addresses", 200)));
  }
  template <class Kept>
  void keep(std::vector<Kept>& all, Kept one, std::size_t most) {
    all.push_back(std::move(one));
    if (all.size() > most) all.erase(all.begin());
  }
  std::unique_ptr<RelayClient> client() {
    return std::make_unique<RelayClient>(
        arguments_.relay.control, relay::ClientOptions{.source = address(), .context = context_});
  }

  void act() {
    const TestRun run = run_of(100 + dice(100));
    switch (dice(6)) {
      case 0: {  // connects, and says nothing
        const bool data = dice(2) == 0;
        keep(sockets_,
             connect_from(address(), data ? data_of(arguments_.relay) : arguments_.relay.control),
             400);
        break;
      }
      case 1: {  // takes places
        auto member = client();
        for (int role = 0; role < 8; ++role) {
          member->send(request::Register{run.record(member->key(), fmt::format("r{}", role))});
        }
        member->send(request::Watch{run.as("r0")});
        keep(clients_, std::move(member), 200);
        break;
      }
      case 2: {  // asks what is refused
        auto stranger = client();
        for (int i = 0; i < 50; ++i) stranger->send(request::LookUp{run.as("nobody")});
        keep(clients_, std::move(stranger), 200);
        break;
      }
      case 3: {  // never ends its message
        auto stranger = std::make_unique<relay::RawCurveClient>(
            connect_from(address(), arguments_.relay.control), *arguments_.relay.control.key);
        const std::string part(4096, 'x');
        for (int i = 0; i < 32 && stranger->send_part(part); ++i) {
        }
        keep(gushing_, std::move(stranger), 200);
        break;
      }
      case 4: {  // a wrong token
        auto socket = connect_from(address(), data_of(arguments_.relay));
        if (socket.valid()) send_all(socket.get(), socks_request(std::string(32, 'a')));
        break;
      }
      case 5: {  // what is no protocol
        auto socket = connect_from(address(), arguments_.relay.control);
        if (socket.valid()) send_all(socket.get(), std::string(200, 'z'));
        break;
      }
    }
  }

  const Arguments& arguments_;
  std::shared_ptr<zmq::context_t> context_;
  std::mt19937_64 random_;
  std::vector<os::FileDescriptor> sockets_;
  std::vector<std::unique_ptr<RelayClient>> clients_;
  std::vector<std::unique_ptr<relay::RawCurveClient>> gushing_;
};

double median(std::vector<double>& values) {
  if (values.empty()) return 0;
  std::ranges::nth_element(values, values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2));
  return values[values.size() / 2];
}

int riot(const Arguments& arguments) {
  static_cast<void>(::setpriority(PRIO_PROCESS, 0, 19));
  Mob(arguments, 1).riot();
}

// The mob rests every other second, so that both halves see the same machine.
int abuse(const Arguments& arguments) {
  const pid_t mob = std::stoi(arguments.values.at("mob"));
  int lost = 0;
  std::vector<double> bytes[2];
  std::vector<double> requests[2];
  {
    HonestPair pair(arguments.relay);
    const auto begin = Clock::now();
    const auto end = begin + std::chrono::seconds(arguments.number("seconds", 20));
    bool riots = true;
    while (Clock::now() < end && lost == 0) {
      const bool next = (Clock::now() - begin) / 1s % 2 == 0;
      if (next != riots) ::kill(mob, next ? SIGCONT : SIGSTOP);
      riots = next;
      if (const auto round_trip = pair.round_trip()) {
        bytes[riots].push_back(*round_trip);
      } else {
        ++lost;
      }
      if (bytes[riots].size() % 16 == 0) requests[riots].push_back(pair.request_s());
      std::this_thread::sleep_for(5ms);
    }
  }
  ::kill(mob, SIGCONT);
  fmt::print("{}\n", Json{{"lost", lost},
                          {"round_trips", bytes[0].size() + bytes[1].size()},
                          {"quiet_ms", 1000 * median(bytes[0])},
                          {"abused_ms", 1000 * median(bytes[1])},
                          {"quiet_request_ms", 1000 * median(requests[0])},
                          {"abused_request_ms", 1000 * median(requests[1])}}
                         .dump());
  return lost == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  return relay::run_action({{"riot", riot}, {"abuse", abuse}}, argc, argv);
}
