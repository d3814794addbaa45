// What strangers, members and one honest pair do to a relay that is a process of its own, from as
// many addresses of 127.0.0.0/8 as one likes. The first argument says what; the relay's word, as
// *serve* prints it, comes next, and then NAME=VALUE. Prints one JSON object; 0 when the relay did
// what it should towards the caller, 1 when it refused.
//
//   join    one member of a run of its own registers, from `from`
//   hoard   `keys` keys with `roles` roles each register from `from`, and stay for `hold` seconds
//   refused `connections` connections make one request each that is refused, and stay
//   gush    `connections` connections send messages that never end, `bytes` each, and stay
//   flood   `requests` requests that are refused, none of whose answers is read
//   storm   SIGHUP to the process `pid`, without a pause for `seconds`, while a member asks
//   watch   `members` members of one run watch each other for `seconds`, one coming or going each
//   second;
//           says what share of a core the process `pid`, the relay, takes for that, and they do
//   fill    `members` registrations, 4 over each connection, and `streams` pairs that are joined at
//   the
//           data port; says how much memory `pid` has then
//   abuse   an honest pair exchanges bytes through the data port for `seconds` while a child
//   process
//           does all of this and more from `addresses` addresses, every other second

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <random>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <nlohmann/json.hpp>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libcommon/net/relay_word.h"
#include "libcommon/os/file_descriptor.h"
#include "tests/net/raw_curve_client.h"
#include "tests/unit/relay/relay_client.h"

namespace {

using namespace ptrain;
using namespace std::chrono_literals;
using relay::RelayClient;
using relay::TestRun;
using Clock = std::chrono::steady_clock;
using Json = nlohmann::ordered_json;
namespace request = net::request;
namespace answer = net::answer;

struct Arguments {
  net::TicketRelay relay;
  std::map<std::string, std::string> values;

  std::string text(const std::string& name, const std::string& otherwise) const {
    const auto found = values.find(name);
    return found == values.end() ? otherwise : found->second;
  }
  int number(const std::string& name, int otherwise) const {
    return std::stoi(text(name, std::to_string(otherwise)));
  }
};

std::shared_ptr<zmq::context_t> large_context() {
  auto context = std::make_shared<zmq::context_t>();
  zmq_ctx_set(context->handle(), ZMQ_MAX_SOCKETS, 20000);
  return context;
}

TestRun run_of(int number) { return TestRun(static_cast<std::uint8_t>(number)); }

void stay(const Arguments& arguments, const Json& result) {
  fmt::print("{}\n", result.dump());
  std::fflush(stdout);
  std::this_thread::sleep_for(std::chrono::seconds(arguments.number("hold", 0)));
}

int join(const Arguments& arguments) {
  RelayClient client(arguments.relay.control, {.source = arguments.text("from", "127.0.0.2")});
  const auto begin = Clock::now();
  const net::Answer told =
      client.ask(request::Register{run_of(arguments.number("run", 77)).record(client.key(), "a")});
  const auto* refused = std::get_if<answer::Refused>(&told.body);
  stay(arguments, {{"granted", refused == nullptr},
                   {"reason", refused == nullptr ? "" : net::name_of(refused->reason)},
                   {"s", std::chrono::duration<double>(Clock::now() - begin).count()}});
  return refused == nullptr ? 0 : 1;
}

int hoard(const Arguments& arguments) {
  const auto context = large_context();
  const TestRun run = run_of(arguments.number("run", 66));
  std::vector<std::unique_ptr<RelayClient>> clients;
  int granted = 0;
  for (int key = 0; key < arguments.number("keys", 16); ++key) {
    clients.push_back(std::make_unique<RelayClient>(
        arguments.relay.control,
        relay::ClientOptions{.source = arguments.text("from", "127.0.0.9"), .context = context}));
    for (int role = 0; role < arguments.number("roles", 64); ++role) {
      while (true) {
        const net::Answer told = clients.back()->ask(
            request::Register{run.record(clients.back()->key(), fmt::format("r{}", role))});
        const auto* refused = std::get_if<answer::Refused>(&told.body);
        if (refused == nullptr) ++granted;
        if (refused == nullptr || refused->reason != net::Refusal::busy) break;
        std::this_thread::sleep_for(std::chrono::milliseconds(refused->retry_ms));
      }
    }
  }
  stay(arguments, {{"granted", granted}});
  return 0;
}

int refused(const Arguments& arguments) {
  const auto context = large_context();
  std::vector<std::unique_ptr<RelayClient>> clients;
  int answered = 0;
  for (int i = 0; i < arguments.number("connections", 600); ++i) {
    clients.push_back(std::make_unique<RelayClient>(
        arguments.relay.control,
        relay::ClientOptions{.source = arguments.text("from", "127.0.0.9"), .context = context}));
    clients.back()->send(request::Renew{run_of(55).as("a")});
  }
  std::this_thread::sleep_for(3s);
  for (auto& client : clients) answered += client->receive(0ms).has_value();
  stay(arguments, {{"answered", answered}});
  return 0;
}

int flood(const Arguments& arguments) {
  const auto context = large_context();
  std::vector<std::unique_ptr<RelayClient>> clients;
  const int requests = arguments.number("requests", 4000);
  // From several addresses, so that what is refused is answered and not only ignored.
  for (int i = 0; i < 8; ++i) {
    clients.push_back(std::make_unique<RelayClient>(
        arguments.relay.control,
        relay::ClientOptions{.source = fmt::format("127.3.0.{}", i + 1), .context = context}));
    clients.back()->socket.set(zmq::sockopt::linger, 20000);  // for the last ones to leave
  }
  for (int i = 0; i < requests; ++i) {
    RelayClient& client = *clients[static_cast<std::size_t>(i) % clients.size()];
    client.send(request::Renew{run_of(55).as("a")});
    if (i % 64 == 63) std::this_thread::sleep_for(10ms);
  }
  stay(arguments, {{"requests", requests}});
  return 0;
}

int storm(const Arguments& arguments) {
  RelayClient client(arguments.relay.control, {.source = "127.0.0.2"});
  const TestRun run = run_of(22);
  client.join(run, "a");
  std::atomic<bool> over = false;
  const pid_t pid = arguments.number("pid", 0);
  std::thread signals([&] {
    while (!over) ::kill(pid, SIGHUP);
  });
  const auto end = Clock::now() + std::chrono::seconds(arguments.number("seconds", 3));
  int answered = 0;
  try {
    // Within a member's rate.
    for (; Clock::now() < end; ++answered) {
      client.ask_for<answer::Granted>(request::Renew{run.as("a")});
      std::this_thread::sleep_for(20ms);
    }
  } catch (const std::exception&) {
    answered = 0;
  }
  over = true;
  signals.join();
  stay(arguments, {{"answered", answered}});
  return answered > 0 ? 0 : 1;
}

// ---- A large run.

std::string address_of(int number) {
  return fmt::format("127.5.{}.{}", number / 200, 1 + number % 200);
}

double cpu_s(int pid) {
  std::ifstream file(fmt::format("/proc/{}/stat", pid));
  std::string text((std::istreambuf_iterator<char>(file)), {});
  std::istringstream fields(text.substr(text.rfind(')') + 2));
  std::vector<std::string> all(std::istream_iterator<std::string>(fields), {});
  const double ticks = std::stod(all.at(11)) + std::stod(all.at(12));
  return ticks / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

std::string memory_kib(int pid) {
  std::ifstream file(fmt::format("/proc/{}/status", pid));
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("VmRSS:")) return line.substr(7, line.rfind(' ') - 7);
  }
  return "0";
}

int watch(const Arguments& arguments) {
  const auto context = large_context();
  const TestRun run = run_of(44);
  std::vector<std::unique_ptr<RelayClient>> members;
  for (int i = 0; i < arguments.number("members", 1000); ++i) {
    members.push_back(std::make_unique<RelayClient>(
        arguments.relay.control,
        relay::ClientOptions{.source = address_of(i % 100), .context = context}));
    members.back()->send(request::Register{run.record(members.back()->key(), "a")});
    members.back()->send(request::Watch{run.as("a")});
  }
  for (auto& member : members) member->receive(30s);
  RelayClient last(arguments.relay.control, {.source = "127.0.0.2"});
  const auto read_all = [&] {
    std::size_t told = 0;
    for (auto& member : members) {
      while (member->receive(0ms)) ++told;
    }
    return told;
  };
  // Until nothing more comes: who is slow here is not slow there.
  const auto read_rest = [&] {
    std::size_t told = 0;
    for (int pauses = 0; pauses < 60; ++pauses) {
      std::this_thread::sleep_for(3s);
      const std::size_t more = read_all();
      told += more;
      if (more == 0) break;
    }
    return told;
  };
  read_rest();  // each was told of all that came after it
  const int pid = arguments.number("pid", 0);
  const double before = cpu_s(pid);
  const double own_before = cpu_s(::getpid());
  const auto begin = Clock::now();
  std::size_t told = 0;
  std::size_t renewed = 0;
  const int seconds = arguments.number("seconds", 10);
  for (int second = 0; second < seconds; ++second) {
    if (second % 2 == 0) {
      last.join(run, "z", static_cast<std::uint64_t>(second + 1));
    } else {
      last.ask_for<answer::Left>(request::Leave{run.as("z")});
    }
    // Each renews three times in 30 s, which is the lease unless it is told otherwise.
    for (std::size_t i = 0; i < members.size() / 10; ++i) {
      members[renewed++ % members.size()]->send(request::Renew{run.as("a")});
    }
    std::this_thread::sleep_until(begin + std::chrono::seconds(second + 1));
    told += read_all();
  }
  told += read_rest();
  const double elapsed = std::chrono::duration<double>(Clock::now() - begin).count();
  stay(arguments, {{"members", members.size()},
                   {"told_per_change", static_cast<double>(told - renewed) / seconds},
                   {"cpu_share", (cpu_s(pid) - before) / elapsed},
                   {"members_cpu_share", (cpu_s(::getpid()) - own_before) / elapsed},
                   {"rss_kib", std::stol(memory_kib(pid))}});
  return 0;
}

// ---- The honest pair.

os::FileDescriptor connect_from(const std::string& source, std::uint16_t port) {
  os::FileDescriptor fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  ::inet_pton(AF_INET, source.c_str(), &address.sin_addr);
  static_cast<void>(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return {};
  }
  const int on = 1;
  ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

bool send_all(int fd, std::string_view text) {
  return ::send(fd, text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
}

bool receive_all(int fd, char* to, std::size_t size) {
  for (std::size_t done = 0; done < size;) {
    pollfd waiting{.fd = fd, .events = POLLIN, .revents = 0};
    if (::poll(&waiting, 1, 10000) != 1) return false;
    const ssize_t count = ::recv(fd, to + done, size - done, 0);
    if (count <= 0) return false;
    done += static_cast<std::size_t>(count);
  }
  return true;
}

std::string socks_request(const std::string& token) {
  return std::string("\5\1\0\5\1\0\3", 7) + static_cast<char>(token.size()) + token +
         std::string("\0\1", 2);
}

// libzmq keeps what belongs to one message until it is whole.
int gush(const Arguments& arguments) {
  const std::string part(4096, 'x');
  std::vector<std::unique_ptr<relay::RawCurveClient>> clients;
  std::size_t sent = 0;
  for (int i = 0; i < arguments.number("connections", 150); ++i) {
    try {
      clients.push_back(std::make_unique<relay::RawCurveClient>(
          connect_from(arguments.text("from", "127.0.0.9"), arguments.relay.control.port),
          *arguments.relay.control.key));
      for (int left = arguments.number("bytes", 1 << 20); left > 0; left -= 4096) {
        if (!clients.back()->send_part(part)) break;
        sent += part.size();
      }
    } catch (const std::runtime_error&) {
      // Cut, as it should be.
    }
    std::this_thread::sleep_for(20ms);  // or all has come before a busy relay has its turn
  }
  stay(arguments, {{"connections", clients.size()}, {"sent_bytes", sent}});
  return 0;
}

struct HonestPair {
  explicit HonestPair(const net::TicketRelay& relay)
      : low(relay.control, {.source = "127.0.0.2"}), high(relay.control, {.source = "127.0.0.3"}) {
    low.join(run, "stage-0");
    high.join(run, "stage-1");
    const auto ours = low.ask_for<answer::Introduced>(
        request::Introduce{run.as("stage-0"), high.place("stage-1"), 1});
    const auto theirs = high.push_of<answer::Introduced>();
    near = connect_from("127.0.0.2", relay.data_port);
    far = connect_from("127.0.0.3", relay.data_port);
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

// ---- As much as fits.

int fill(const Arguments& arguments) {
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
  const auto context = large_context();
  const TestRun run = run_of(33);
  constexpr int kRoles = 4;
  std::vector<std::unique_ptr<RelayClient>> members;
  const int registrations = arguments.number("members", 10000);
  for (int i = 0; i < registrations / kRoles; ++i) {
    members.push_back(std::make_unique<RelayClient>(
        arguments.relay.control,
        relay::ClientOptions{.source = address_of(i % 100), .context = context}));
    for (int role = 0; role < kRoles; ++role) {
      members.back()->join(run, fmt::format("r{}", role));
    }
  }
  std::vector<os::FileDescriptor> ends;
  const int streams = arguments.number("streams", 2000);
  for (std::size_t i = 0; ends.size() < 2 * static_cast<std::size_t>(streams); i += 2) {
    RelayClient& low = *members.at(i);
    RelayClient& high = *members.at(i + 1);
    constexpr std::uint8_t kPaths = net::kMaxPathsPerIntroduction;
    const auto ours =
        low.ask_for<answer::Introduced>(request::Introduce{run.as("r0"), high.place("r0"), kPaths});
    const auto theirs = high.push_of<answer::Introduced>();
    for (std::size_t path = 0; path < ours.tokens.size(); ++path) {
      ends.push_back(
          connect_from(address_of(static_cast<int>(i % 100)), arguments.relay.data_port));
      send_all(ends.back().get(), socks_request(ours.tokens[path].token));
      ends.push_back(
          connect_from(address_of(static_cast<int>((i + 1) % 100)), arguments.relay.data_port));
      send_all(ends.back().get(), socks_request(theirs.tokens.at(path).token));
      char reply[12];
      if (!receive_all(ends.back().get(), reply, sizeof reply)) {
        throw std::runtime_error(fmt::format("stream {} is not joined", ends.size() / 2));
      }
    }
  }
  stay(arguments, {{"registrations", members.size() * kRoles},
                   {"connections", members.size()},
                   {"spliced", ends.size()},
                   {"rss_kib", std::stol(memory_kib(arguments.number("pid", 0)))}});
  return 0;
}

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
    const int number = dice(arguments_.number("addresses", 200));
    return fmt::format("127.7.{}.{}", number / 250, 1 + number % 250);
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
             connect_from(address(),
                          data ? arguments_.relay.data_port : arguments_.relay.control.port),
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
            connect_from(address(), arguments_.relay.control.port), *arguments_.relay.control.key);
        const std::string part(4096, 'x');
        for (int i = 0; i < 32 && stranger->send_part(part); ++i) {
        }
        keep(gushing_, std::move(stranger), 200);
        break;
      }
      case 4: {  // a wrong token
        auto socket = connect_from(address(), arguments_.relay.data_port);
        if (socket.valid()) send_all(socket.get(), socks_request(std::string(32, 'a')));
        break;
      }
      case 5: {  // what is no protocol
        auto socket = connect_from(address(), arguments_.relay.control.port);
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

// The mob rests every other second, so that both halves see the same machine.
int abuse(const Arguments& arguments) {
  const pid_t mob = ::fork();  // before there are threads
  if (mob == 0) {
    static_cast<void>(::setpriority(PRIO_PROCESS, 0, 19));
    Mob(arguments, 1).riot();
  }
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
  ::kill(mob, SIGKILL);
  ::waitpid(mob, nullptr, 0);
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
  const std::map<std::string, int (*)(const Arguments&)> actions{
      {"join", join},   {"hoard", hoard}, {"refused", refused}, {"gush", gush},  {"flood", flood},
      {"storm", storm}, {"watch", watch}, {"fill", fill},       {"abuse", abuse}};
  if (argc < 3 || !actions.contains(argv[1])) return 2;
  try {
    Arguments arguments{.relay = net::parse_relay_word(argv[2]), .values = {}};
    for (int i = 3; i < argc; ++i) {
      const std::string word = argv[i];
      const std::size_t equals = word.find('=');
      arguments.values[word.substr(0, equals)] = word.substr(equals + 1);
    }
    return actions.at(argv[1])(arguments);
  } catch (const std::exception& error) {
    fmt::print("{}\n", Json{{"error", error.what()}}.dump());
    return 1;
  }
}
