// The members of many runs at one relay, for tests/bench/relay_registry.sh: all register, each
// with its own key over a connection of its own; some stay connected, watch their runs and look
// up. Prints a JSON object after each of the two phases, and waits for a line between them.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>
#include <zmq.hpp>

#include "libcommon/base/error.h"
#include "libcommon/net/relay_codec.h"
#include "libcommon/net/zmq/zmq_parts.h"
#include "libcommon/os/descriptor_limit.h"
#include "tests/bench/paced.h"
#include "tests/bench/population.h"

namespace {

using namespace ptrain;
using namespace std::chrono_literals;
namespace answer = net::answer;
namespace request = net::request;
using bench::Peer;
using bench::Population;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kHandshakesPerThread = 16;  // at a time
constexpr std::size_t kHosts = 250;               // that peers come from
constexpr auto kRenewEvery = 10s;                 // a third of the default lease
constexpr std::size_t kDrainedPerRound = 32;      // of the members that are connected
constexpr int kPatienceMs = 20000;
constexpr std::size_t kWholeLookUps = 20;  // by one member each: more would exceed its allowance

struct Options {
  std::string relay;
  std::size_t peers = 10000;
  std::size_t connected = 2000;
  std::size_t large_run = 1200;
  bench::Pace pace;
};

void print(const nlohmann::ordered_json& line) {
  fmt::print("{}\n", line.dump());
  std::fflush(stdout);
}

// One member's connection, made as ptrain's own (net/relay_link.cc).
class Link {
 public:
  Link(zmq::context_t& context, const net::Endpoint& relay, const Peer& peer, std::size_t number)
      : dealer_(context, zmq::socket_type::dealer) {
    net::configure(dealer_, relay.host);
    // Read whatever comes: here nobody is slow.
    dealer_.set(zmq::sockopt::rcvhwm, 0);
    dealer_.set(zmq::sockopt::curve_serverkey, zmq::const_buffer(relay.key->data(), 32));
    dealer_.set(zmq::sockopt::curve_publickey, zmq::const_buffer(peer.key.public_key().data(), 32));
    dealer_.set(zmq::sockopt::curve_secretkey, zmq::const_buffer(peer.key.secret_key().data(), 32));
    dealer_.set(zmq::sockopt::rcvtimeo, kPatienceMs);
    dealer_.connect(
        fmt::format("tcp://127.0.1.{}:0;{}:{}", 1 + number % kHosts, relay.host, relay.port));
  }

  zmq::socket_t& socket() { return dealer_; }

  std::uint64_t send(decltype(net::Request::body) body) {
    const net::Request request{.id = ++last_id_, .body = std::move(body)};
    net::send_parts(dealer_, nullptr, net::encode(request), {});
    return request.id;
  }
  std::optional<net::Answer> receive(zmq::recv_flags flags) {
    zmq::message_t part;
    if (!dealer_.recv(part, flags)) return std::nullopt;
    return std::get<net::Answer>(
        net::decode_answer({static_cast<const std::byte*>(part.data()), part.size()}));
  }
  // Whatever has come: word of other members, leases that were prolonged.
  void drain() {
    zmq::message_t part;
    while (dealer_.recv(part, zmq::recv_flags::dontwait)) ++drained_;
  }
  std::uint64_t drained() const { return drained_; }

 private:
  zmq::socket_t dealer_;
  std::uint64_t last_id_ = 0;
  std::uint64_t drained_ = 0;
};

class Members {
 public:
  Members(Options options, const Population& population)
      : options_(std::move(options)),
        relay_(net::parse_endpoint(options_.relay)),
        population_(population),
        links_(options_.connected),
        renewed_(options_.pace.threads) {
    context_.set(zmq::ctxopt::max_sockets, static_cast<int>(2 * options_.connected + 2048));
  }

  nlohmann::ordered_json register_all() {
    const double passing = register_these(options_.connected, options_.peers);
    const double staying = register_these(0, options_.connected);
    return {{"registered", options_.peers},
            {"runs", population_.runs.size()},
            {"largest_run", population_.runs.front().members.size()},
            {"registrations_per_s", passing},
            {"with_watch_per_s", staying},
            {"told_to_wait", told_to_wait_.load()}};
  }

  nlohmann::ordered_json look_ups() {
    const auto sorted_ms = bench::latencies_ms(
        options_.pace, population_, options_.connected,
        [this](std::size_t member, std::size_t from) { look_up(member, from); },
        [this](std::size_t thread) { renew_some(thread); });
    nlohmann::ordered_json summary = bench::summary_of(sorted_ms);
    std::vector<double> whole_ms;
    for (std::size_t i = 0; i < kWholeLookUps; ++i) whole_ms.push_back(look_up_large_run(i));
    std::ranges::sort(whole_ms);
    summary["large_run_ms"] = bench::quantile(whole_ms, 0.5);
    std::uint64_t pushes = 0;
    for (const auto& link : links_) pushes += link->drained();
    summary["pushes"] = pushes;
    return summary;
  }

 private:
  struct Joining {
    std::size_t number;
    std::unique_ptr<Link> link;
    std::optional<Clock::time_point> retry;
  };

  // Each thread has the peers whose number is its own, modulo the number of threads. Gives
  // registrations a second.
  double register_these(std::size_t first, std::size_t end) {
    const Clock::time_point begin = Clock::now();
    const std::size_t threads = options_.pace.threads;
    bench::on_threads(threads, [&](std::size_t thread) {
      std::vector<Joining> joining;
      std::size_t next = first + (thread + threads - first % threads) % threads;
      std::size_t next_to_drain = thread;
      while (true) {
        for (; joining.size() < kHandshakesPerThread && next < end; next += threads) {
          const Peer& peer = population_.peers[next];
          auto link = std::make_unique<Link>(context_, relay_, peer, next);
          link->send(request::Register{peer.record});
          joining.push_back({next, std::move(link), {}});
        }
        if (joining.empty()) return;
        advance(joining);
        drain_some(thread, next_to_drain);
      }
    });
    const double took_s = std::chrono::duration<double>(Clock::now() - begin).count();
    return static_cast<double>(end - first) / took_s;
  }

  void advance(std::vector<Joining>& joining) {
    std::vector<zmq::pollitem_t> items;
    for (Joining& one : joining) {
      items.push_back({one.link->socket().handle(), 0, ZMQ_POLLIN, 0});
    }
    zmq::poll(items, 10ms);
    std::erase_if(joining, [this](Joining& one) {
      if (one.retry && Clock::now() >= *one.retry) {
        one.retry.reset();
        one.link->send(request::Register{population_.peers[one.number].record});
      }
      const auto answer = one.link->receive(zmq::recv_flags::dontwait);
      return answer && is_in(one, *answer);
    });
  }

  bool is_in(Joining& one, const net::Answer& answer) {
    if (const auto* refused = std::get_if<answer::Refused>(&answer.body)) {
      if (refused->retry_ms == 0) {
        throw Error(ErrorKind::unavailable, "the relay refused: " + refused->text);
      }
      ++told_to_wait_;
      one.retry = Clock::now() + std::chrono::milliseconds(refused->retry_ms);
      return false;
    }
    if (!std::holds_alternative<answer::Granted>(answer.body)) return false;
    if (one.number < links_.size()) {
      one.link->send(request::Watch{as(one.number), true});
      links_[one.number] = std::move(one.link);
    }
    return true;
  }

  // What those who are connected already hear of those who come.
  void drain_some(std::size_t thread, std::size_t& next) {
    for (std::size_t i = 0; i < kDrainedPerRound; ++i, next += options_.pace.threads) {
      if (next >= links_.size()) next = thread;
      if (links_[next]) links_[next]->drain();
    }
  }

  net::Membership as(std::size_t number) const {
    const Peer& peer = population_.peers[number];
    return {.run_key = population_.run_of(peer).key, .role = peer.role};
  }

  // The page that begins at `from`, which must be what the relay was told.
  bench::Slice look_up(std::size_t member, std::size_t from) {
    const bench::Run& run = population_.run_of(population_.peers[member]);
    Link& link = *links_[member];
    const net::Place after = from == 0 ? net::Place{} : run.members[from - 1]->place();
    const std::uint64_t id = link.send(request::LookUp{as(member), "", after});
    std::optional<net::Answer> answer;
    do {
      answer = link.receive(zmq::recv_flags::none);
      if (!answer) throw Error(ErrorKind::unavailable, "a look-up was not answered");
    } while (answer->id != id);
    if (const auto* refused = std::get_if<answer::Refused>(&answer->body)) {
      throw Error(ErrorKind::unavailable, "a look-up was refused: " + refused->text);
    }
    const auto& found = std::get<answer::Found>(answer->body);
    const bench::Slice expected = population_.page(run, from);
    const bool whole = expected.end == run.members.size();
    bool right = found.records.size() == expected.end - expected.begin && found.complete == whole;
    for (std::size_t i = 0; right && i < found.records.size(); ++i) {
      right = found.records[i] == run.members[from + i]->record;
    }
    if (!right) {
      throw Error(ErrorKind::internal,
                  fmt::format("a look-up got {} records{}, not members {} to {} of {}",
                              found.records.size(), found.complete ? ", the last ones" : "", from,
                              expected.end, run.members.size()));
    }
    return expected;
  }

  double look_up_large_run(std::size_t member) {
    const Clock::time_point begin = Clock::now();
    const std::size_t size = population_.runs.front().members.size();
    for (std::size_t from = 0; from < size;) from = look_up(member, from).end;
    return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
  }

  void renew_some(std::size_t thread) {
    const std::size_t threads = options_.pace.threads;
    const std::size_t own = links_.size() / threads;
    const auto gap = std::chrono::duration_cast<Clock::duration>(kRenewEvery) / own;
    Renewal& state = renewed_[thread];
    if (!state.due) state.due = Clock::now();
    while (Clock::now() >= *state.due) {
      const std::size_t member = state.next++ % own * threads + thread;
      links_[member]->drain();
      links_[member]->send(request::Renew{as(member), "direct"});
      *state.due += gap;
    }
  }

  struct Renewal {
    std::size_t next = 0;
    std::optional<Clock::time_point> due;
  };

  Options options_;
  net::Endpoint relay_;
  const Population& population_;
  zmq::context_t context_{2};
  std::vector<std::unique_ptr<Link>> links_;  // of those who stay, by number
  std::vector<Renewal> renewed_;
  std::atomic<std::size_t> told_to_wait_{0};
};

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("The members of many runs at one relay, for tests/bench/relay_registry.sh");
  app.add_option("--relay", options.relay, "The relay's control port, with its key")->required();
  app.add_option("--peers", options.peers)->check(CLI::Range(100, 100000));
  app.add_option("--connected", options.connected)->check(CLI::Range(8, 5000));
  app.add_option("--large-run", options.large_run)->check(CLI::Range(64, 10000));
  app.add_option("--rate", options.pace.per_s, "Look-ups a second");
  app.add_option("--seconds", options.pace.duration_s, "Of look-ups");
  CLI11_PARSE(app, argc, argv);
  try {
    os::raise_descriptor_limit();
    const Population population(options.peers, options.large_run);
    Members members(options, population);
    print(members.register_all());
    char byte = 0;
    if (::read(STDIN_FILENO, &byte, 1) < 0) return 1;
    print(members.look_ups());
    if (::read(STDIN_FILENO, &byte, 1) < 0) return 1;
  } catch (const std::exception& error) {
    fmt::print(stderr, "bench_relay_registry: {}\n", error.what());
    return 1;
  }
  return 0;
}
