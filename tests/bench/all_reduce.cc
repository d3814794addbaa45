// One member of the sums that tests/bench/allreduce.sh measures: a lane each, over real sessions.
// Every member has the same command line but for --member and --key. Before each round a sum of a
// few numbers makes all of them begin together; the sum itself is checked by its numbers, outside
// of the time. Prints a JSON object: the seconds of each round here.
//
// With --print-key it prints its public key, with --bound what the best split of the vector over
// lines of such rates can reach, and the shares of that split; then it measures nothing.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "libcommon/base/clock.h"
#include "libcommon/base/error.h"
#include "libcommon/base/log.h"
#include "libcommon/base/sha256.h"
#include "libcommon/cli/json_line.h"
#include "libcommon/cli/program.h"
#include "libcommon/lanes/lane_sums.h"
#include "libcommon/lanes/node_carrier.h"
#include "libcommon/net/node.h"
#include "libcommon/net/stage_admission.h"

namespace ptrain {
namespace {

using reduce::EdgeCodecKind;
using reduce::LaneIndex;
using reduce::MemberIndex;
using reduce::ReducePlan;
using reduce::SumId;
using std::chrono::seconds;

constexpr Duration kPatience = seconds(300);
constexpr std::uint64_t kBarrierElements = 64;

struct Options {
  std::uint32_t member = 0;
  std::string endpoints_file;
  std::string key_file;
  double mib = 64;
  std::string codec = "fp32";
  std::uint32_t rounds = 5;
  std::vector<double> rates_mbit;  // of the members' lines, both ways
  bool bound = false;
  bool print_key = false;
};

std::vector<net::Endpoint> endpoints_of(const std::string& path) {
  std::vector<net::Endpoint> endpoints;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) endpoints.push_back(net::parse_endpoint(line));
  if (endpoints.size() < 2) {
    throw Error(ErrorKind::usage, fmt::format("{}: {} endpoints", path, endpoints.size()));
  }
  return endpoints;
}

EdgeCodecKind codec_of(const std::string& name) {
  for (std::uint8_t kind = 0; kind < reduce::kEdgeCodecKinds; ++kind) {
    if (reduce::edge_codec(EdgeCodecKind{kind}).name() == name) return EdgeCodecKind{kind};
  }
  throw Error(ErrorKind::usage, "no codec " + name);
}

reduce::BestSplit split_of(const std::vector<double>& rates_mbit) {
  std::vector<reduce::MemberLine> lines;
  for (const double rate : rates_mbit) {
    lines.push_back({.up_bytes_per_s = rate * 125000, .down_bytes_per_s = rate * 125000});
  }
  return reduce::best_split(lines);
}

ReducePlan plan_of(std::size_t members, std::uint64_t elements, EdgeCodecKind codec,
                   const std::vector<double>& shares) {
  ReducePlan plan;
  for (std::uint32_t m = 0; m < members; ++m) {
    plan.members.push_back(fmt::format("member {}", m));
    plan.holder_of_lane.emplace_back(m);
  }
  plan.chunks = reduce::cut(elements, shares);
  plan.edges.codec = codec;
  return plan;
}

// Whole numbers of 1/1024, small enough that float32 adds them up exactly.
float number_of(std::uint64_t i, std::uint32_t lanes_before) {
  const auto hash = static_cast<std::int32_t>((i * 2654435761U >> 7) % 2001) - 1000;
  return static_cast<float>(hash * static_cast<std::int32_t>(lanes_before)) / 1024;
}

void fill(std::span<float> values, std::uint32_t member) {
  for (std::uint64_t i = 0; i < values.size(); ++i) values[i] = number_of(i, member + 1);
}

// How far the sum is from what it should be, at most.
double error_of(std::span<const float> sum, std::uint32_t members) {
  double largest = 0;
  for (std::uint64_t i = 0; i < sum.size(); ++i) {
    const double exact = number_of(i, members * (members + 1) / 2);
    largest = std::max(largest, std::abs(sum[i] - exact));
  }
  return largest;
}

class Member {
 public:
  Member(const Options& options, const std::vector<net::Endpoint>& endpoints)
      : self_(options.member),
        count_(static_cast<std::uint32_t>(endpoints.size())),
        log_(fmt::format("member {}", self_)),
        node_(node_options(options, endpoints), admission(endpoints), log_, clock_),
        carrier_(node_, workers()),
        sums_(MemberIndex(self_), carrier_, clock_) {
    for (std::uint32_t m = 0; m < count_; ++m) {
      const std::string name = fmt::format("member {}", m);
      if (m < self_) node_.seek(worker(m), endpoints[m], StageIndex(m), name);
      if (m > self_) node_.expect(worker(m), StageIndex(m), name);
    }
    node_.start();
    reader_ = std::thread([this] { read(); });
  }
  ~Member() {
    ending_ = true;
    reader_.join();
  }

  void await_members() {
    const bool met = node_.wait(kPatience, [](const net::PeerStatus& status) {
      return status.lost() || status.state == net::Session::State::open;
    });
    if (!met) throw Error(ErrorKind::unavailable, "not all members appeared");
  }
  lanes::SumFigures sum(const ReducePlan& plan, std::span<float> values) {
    const SumId id(++sums_done_);
    sums_.order({.id = id,
                 .plan = plan,
                 .residuals = &residuals_,
                 .lanes = {{LaneIndex(self_), values}},
                 .sum = values});
    if (const auto figures = sums_.wait(id, kPatience)) return *figures;
    throw Error(ErrorKind::unavailable, fmt::format("sum {} is not done in time", id.value()));
  }
  void close() { node_.close(seconds(5)); }
  std::uint32_t count() const { return count_; }

 private:
  static net::WorkerId worker(std::uint32_t member) {
    return {.key = std::nullopt, .name = fmt::format("member-{}", member)};
  }
  std::vector<net::WorkerId> workers() const {
    std::vector<net::WorkerId> all;
    for (std::uint32_t m = 0; m < count_; ++m) all.push_back(worker(m));
    return all;
  }
  static net::NodeOptions node_options(const Options& options,
                                       const std::vector<net::Endpoint>& endpoints) {
    net::NodeOptions node;
    node.introduction = {.run = "all-reduce",
                         .job_hash = "none",
                         .stage_count = static_cast<std::uint32_t>(endpoints.size()),
                         .data_fingerprint = ""};
    node.self = StageIndex(options.member);
    node.listen = endpoints.at(options.member);
    node.listen->key.reset();
    if (!options.key_file.empty()) node.key = net::load_or_create_key(options.key_file);
    return node;
  }
  std::unique_ptr<net::StageAdmission> admission(const std::vector<net::Endpoint>& endpoints) {
    std::map<StageIndex, std::optional<net::PublicKey>> higher;
    for (std::uint32_t m = self_ + 1; m < endpoints.size(); ++m) {
      higher[StageIndex(m)] = endpoints[m].key;
    }
    return std::make_unique<net::StageAdmission>(std::move(higher), endpoints[0].key.has_value());
  }
  void read() {
    while (!ending_) {
      auto event = node_.next(std::chrono::milliseconds(20));
      if (!event) continue;
      if (auto* delivery = std::get_if<net::Delivery>(&*event)) {
        sums_.arrived(*carrier_.member_of(delivery->from), std::move(delivery->message),
                      std::move(delivery->credit));
      } else if (const auto* down = std::get_if<net::Down>(&*event)) {
        sums_.lost(*carrier_.member_of(down->peer),
                   down->error ? down->error->what() : "it said goodbye");
      }
    }
  }

  const std::uint32_t self_;
  const std::uint32_t count_;
  SteadyClock clock_;
  StderrLog log_;
  net::Node node_;
  lanes::NodeCarrier carrier_;
  lanes::LaneSums sums_;
  reduce::Residuals residuals_;
  std::uint64_t sums_done_ = 0;
  std::atomic<bool> ending_ = false;
  std::thread reader_;
};

int print_bound(const Options& options) {
  const reduce::BestSplit split = split_of(options.rates_mbit);
  cli::print_json_line({{"s_per_byte", split.s_per_byte}, {"shares", split.shares}});
  return 0;
}

int print_key(const Options& options) {
  cli::print_json_line(
      {{"key", net::to_hex(net::load_or_create_key(options.key_file).public_key())}});
  return 0;
}

int run(const Options& options) {
  if (options.bound) return print_bound(options);
  if (options.print_key) return print_key(options);
  const std::vector<net::Endpoint> endpoints = endpoints_of(options.endpoints_file);
  const std::vector<double> shares = options.rates_mbit.empty()
                                         ? std::vector<double>(endpoints.size(), 1)
                                         : split_of(options.rates_mbit).shares;
  const auto elements = static_cast<std::uint64_t>(options.mib * (1 << 20) / sizeof(float));
  const EdgeCodecKind codec = codec_of(options.codec);
  const ReducePlan plan = plan_of(endpoints.size(), elements, codec, shares);
  const ReducePlan barrier = plan_of(endpoints.size(), kBarrierElements, EdgeCodecKind::fp32,
                                     std::vector<double>(endpoints.size(), 1));
  Member member(options, endpoints);
  member.await_members();
  std::vector<float> values(elements);
  std::vector<float> few(kBarrierElements);
  std::vector<double> took_s;
  std::vector<double> idle_s;
  double error = 0;
  lanes::SumFigures figures;
  for (std::uint32_t round = 0; round < options.rounds; ++round) {
    fill(values, options.member);
    member.sum(barrier, few);
    figures = member.sum(plan, values);
    took_s.push_back(ptrain::seconds(figures.took));
    idle_s.push_back(ptrain::seconds(figures.idle));
    error = std::max(error, error_of(values, member.count()));
  }
  if (codec == EdgeCodecKind::fp32 && error != 0) {
    throw Error(ErrorKind::internal, fmt::format("the sum is wrong, by {}", error));
  }
  cli::print_json_line({{"member", options.member},
                        {"seconds", took_s},
                        {"idle_s", idle_s},
                        {"tx_bytes", figures.tx_bytes.value()},
                        {"encoded_bytes", reduce::edge_codec(codec).encoded_size(elements).value()},
                        {"largest_error", error},
                        {"sha256", to_hex(sha256(std::as_bytes(std::span(values))))}});
  member.close();
  return 0;
}

}  // namespace
}  // namespace ptrain

int main(int argc, char** argv) {
  CLI::App app("One member of a sum over lanes.", "bench_all_reduce");
  ptrain::Options options;
  app.add_option("--member", options.member, "Which line of the endpoints is ours");
  app.add_option("--endpoints", options.endpoints_file, "A line for each member");
  app.add_option("--key", options.key_file, "Ours, where the endpoints have keys");
  app.add_option("--mib", options.mib, "Of float32")->check(CLI::Range(0.001, 65536.0));
  app.add_option("--codec", options.codec);
  app.add_option("--rounds", options.rounds)->check(CLI::Range(1, 1000));
  app.add_option("--rates", options.rates_mbit, "Mbit/s of each member's line")->delimiter(',');
  app.add_flag("--print-key", options.print_key, "Print the public half of --key, which is made");
  app.add_flag("--bound", options.bound, "Print what the best split can reach");
  return ptrain::cli::run_program(app, argc, argv, [&] { return ptrain::run(options); });
}
