// What strangers and members do to a relay that is a process of its own, from as many addresses of
// 127.0.0.0/8 as one likes. The first argument says what; the relay's word, as
// *serve* prints it, comes next, and then NAME=VALUE. Prints one JSON object; 0 when the relay did
// what it should towards the caller, 1 when it refused.
//
//   join    one member of a run of its own registers, from `from`
//   hoard   `keys` keys with `roles` roles each register from `from`, and stay for `hold` seconds;
//           a `{}` in it is the key's number
//   seize   `keys` keys at `from` are introduced to each other, for all the paths there are, and
//           where `connect` is 1 make all of these connections
//   pair    two members at `from` and `to` are introduced and joined at the data port
//   refused `connections` connections make one request each that is refused, and stay
//   gush    `connections` connections send messages that never end, `bytes` each, and stay
//   flood   `requests` requests that are refused, none of whose answers is read
//   storm   SIGHUP to the process `pid`, without a pause for `seconds`, while a member asks
//   watch   `members` members of one run watch each other for `seconds`, one coming or going each
//           second; says what share of a core the process `pid`, the relay, takes, and they do
//   fill    `members` registrations, 4 over each connection, and `streams` pairs that are joined at
//           the data port; says how much memory `pid` has then

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

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
using relay::stay;
using relay::TestRun;
using Clock = std::chrono::steady_clock;
namespace request = net::request;
namespace answer = net::answer;

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

std::string numbered(std::string address, int number) {
  const std::size_t at = address.find("{}");
  return at == std::string::npos ? address : address.replace(at, 2, std::to_string(number));
}

int hoard(const Arguments& arguments) {
  const auto context = large_context();
  const TestRun run = run_of(arguments.number("run", 66));
  std::vector<std::unique_ptr<RelayClient>> clients;
  int granted = 0;
  for (int key = 0; key < arguments.number("keys", 16); ++key) {
    clients.push_back(std::make_unique<RelayClient>(
        arguments.relay.control,
        relay::ClientOptions{.source = numbered(arguments.text("from", "127.0.0.9"), key + 1),
                             .context = context}));
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

// ---- Connections by hand.

// libzmq keeps what belongs to one message until it is whole.
int gush(const Arguments& arguments) {
  const std::string part(4096, 'x');
  std::vector<std::unique_ptr<relay::RawCurveClient>> clients;
  std::size_t sent = 0;
  for (int i = 0; i < arguments.number("connections", 150); ++i) {
    try {
      clients.push_back(std::make_unique<relay::RawCurveClient>(
          connect_from(arguments.text("from", "127.0.0.9"), arguments.relay.control),
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

// ---- At the data port.

void take_all_descriptors() {
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
}

// Two members of a run, each with the address that it comes from.
struct Side {
  RelayClient& client;
  std::string source;
};

// The tokens of both, for as many paths as there are; none: refused.
struct Introduction {
  std::vector<answer::PathToken> low;
  std::vector<answer::PathToken> high;
};
std::optional<Introduction> introduce(const TestRun& run, const Side& low, const Side& high) {
  constexpr std::uint8_t kPaths = net::kMaxPathsPerIntroduction;
  const net::Answer told =
      low.client.ask(request::Introduce{run.as("r0"), high.client.place("r0"), kPaths});
  const auto* ours = std::get_if<answer::Introduced>(&told.body);
  if (ours == nullptr) return std::nullopt;
  // Before it may be fresh tokens in place of those that were spent.
  while (const auto push = high.client.push()) {
    const auto* theirs = std::get_if<answer::Introduced>(&push->body);
    if (theirs != nullptr) return Introduction{.low = ours->tokens, .high = theirs->tokens};
  }
  throw std::runtime_error("nobody is told of the introduction");
}

// Whether the data port joins them over that path; the ends stay open.
bool are_joined(const Arguments& arguments, const Side& low, const Side& high,
                const Introduction& introduction, std::size_t path,
                std::vector<os::FileDescriptor>& ends) {
  const net::Endpoint data = data_of(arguments.relay);
  for (const auto& [source, tokens] :
       {std::pair(&low.source, &introduction.low), std::pair(&high.source, &introduction.high)}) {
    ends.push_back(connect_from(*source, data));
    if (!send_all(ends.back().get(), socks_request(tokens->at(path).token))) return false;
  }
  constexpr std::size_t kOutcomeAt = 3;  // after the method, in the reply
  char reply[12];
  return receive_all(ends.back().get(), reply, sizeof reply) && reply[kOutcomeAt] == 0;
}

int seize(const Arguments& arguments) {
  take_all_descriptors();
  const auto context = large_context();
  const TestRun run = run_of(88);
  const std::string source = arguments.text("from", "127.0.0.9");
  const std::size_t keys = static_cast<std::size_t>(arguments.number("keys", 24));
  std::vector<std::unique_ptr<RelayClient>> members;
  for (std::size_t i = 0; i < keys; ++i) {
    members.push_back(std::make_unique<RelayClient>(
        arguments.relay.control, relay::ClientOptions{.source = source, .context = context}));
    members.back()->join(run, "r0");
  }
  constexpr std::size_t kMostPartners = 56;  // more tokens than they have no member gets
  constexpr int kEnough = 64;                // that were not joined
  const std::size_t reach = std::min(keys - 1, kMostPartners) / 2;
  const bool connects = arguments.number("connect", 1) == 1;
  std::vector<os::FileDescriptor> ends;
  std::size_t tokens = 0;
  int joined = 0;
  int refused = 0;
  for (std::size_t i = 0; i < keys * reach && refused < kEnough; ++i) {
    const Side low{.client = *members[i / reach], .source = source};
    const Side high{.client = *members[(i / reach + 1 + i % reach) % keys], .source = source};
    const auto introduction = introduce(run, low, high);
    if (!introduction) {
      ++refused;
      continue;
    }
    tokens += introduction->low.size() + introduction->high.size();
    for (std::size_t path = 0; connects && path < introduction->low.size(); ++path) {
      are_joined(arguments, low, high, *introduction, path, ends) ? ++joined : ++refused;
    }
  }
  stay(arguments, {{"tokens", tokens}, {"joined", joined}, {"refused", refused}});
  return 0;
}

int pair(const Arguments& arguments) {
  const TestRun run = run_of(99);
  const std::string from = arguments.text("from", "127.0.0.21");
  const std::string to = arguments.text("to", "127.0.0.22");
  RelayClient low(arguments.relay.control, {.source = from});
  RelayClient high(arguments.relay.control, {.source = to});
  low.join(run, "r0");
  high.join(run, "r0");
  std::vector<os::FileDescriptor> ends;
  const auto introduction = introduce(run, {low, from}, {high, to});
  const bool joined =
      introduction && are_joined(arguments, {low, from}, {high, to}, *introduction, 0, ends);
  stay(arguments, {{"introduced", introduction.has_value()}, {"joined", joined}});
  return joined ? 0 : 1;
}

// ---- As much as fits.

int fill(const Arguments& arguments) {
  take_all_descriptors();
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
    const Side low{.client = *members.at(i), .source = address_of(static_cast<int>(i % 100))};
    const Side high{.client = *members.at(i + 1),
                    .source = address_of(static_cast<int>((i + 1) % 100))};
    const auto introduction = introduce(run, low, high);
    for (std::size_t path = 0; path < introduction.value().low.size(); ++path) {
      if (!are_joined(arguments, low, high, *introduction, path, ends)) {
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

}  // namespace

int main(int argc, char** argv) {
  return relay::run_action({{"join", join},
                            {"hoard", hoard},
                            {"refused", refused},
                            {"gush", gush},
                            {"flood", flood},
                            {"storm", storm},
                            {"watch", watch},
                            {"seize", seize},
                            {"pair", pair},
                            {"fill", fill}},
                           argc, argv);
}
