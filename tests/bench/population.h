// The peers of tests/bench/relay_registry.sh: runs of realistic sizes, every peer with a key of
// its own and a signed record, and what a page of a look-up must hold. Values; the sizes are the
// same every time, the keys are not.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "libcommon/base/random_source.h"
#include "libcommon/net/job_secret.h"
#include "libcommon/net/keys.h"
#include "libcommon/net/peer_record.h"
#include "libcommon/net/relay_protocol.h"
#include "tools/relay/control/request_handler.h"

namespace ptrain::bench {

inline constexpr std::size_t kSmallestRun = 4;
inline constexpr std::size_t kLargestSmallRun = 64;

struct Peer {
  net::KeyPair key;
  std::string role;
  net::SignedRecord record;
  std::size_t run = 0;  // in Population::runs
  std::size_t at = 0;   // in the run, by place

  net::Place place() const { return {.peer_key = key.public_key(), .role = role}; }
};

struct Run {
  VerifyKey key{};
  std::vector<const Peer*> members;  // by place, as the relay lists them
};

struct Slice {
  std::size_t begin = 0;
  std::size_t end = 0;
};

struct Population {
  std::vector<Peer> peers;  // the large run first, then the small ones
  std::vector<Run> runs;

  Population(std::size_t count, std::size_t large_run);
  Population(const Population&) = delete;
  Population& operator=(const Population&) = delete;

  const Run& run_of(const Peer& peer) const { return runs[peer.run]; }
  // The members that a look-up gets which begins there.
  Slice page(const Run& run, std::size_t begin) const;
};

// Small runs are the rule: the logarithm of a size is evenly spread.
inline std::vector<std::size_t> run_sizes(std::size_t count, std::size_t large_run) {
  std::mt19937 random(1);
  std::uniform_real_distribution<double> log_size(std::log(double{kSmallestRun}),
                                                  std::log(double{kLargestSmallRun} + 1));
  std::vector<std::size_t> sizes;
  std::size_t left = count;
  std::size_t next = large_run;
  while (left > 0) {
    sizes.push_back(std::min(left, next));
    left -= sizes.back();
    next = static_cast<std::size_t>(std::exp(log_size(random)));
  }
  return sizes;
}

inline Population::Population(std::size_t count, std::size_t large_run) {
  SystemRandom random;
  peers.reserve(count);  // runs point to them
  for (const std::size_t size : run_sizes(count, large_run)) {
    const SigningKey issuer = net::IssuerSecret::generate(random).key();
    const SigningKey member_key = net::JobSecret::generate(random).member_key();
    const net::Grant grant =
        net::make_grant(issuer, member_key.verify_key(), net::wall_now() + std::chrono::hours(24));
    Run run{.key = issuer.verify_key(), .members = {}};
    for (std::size_t i = 0; i < size; ++i) {
      net::PeerRecord record{
          .run_key = run.key, .peer_key = {}, .role = {}, .candidates = {}, .grant = grant};
      net::KeyPair key = net::KeyPair::generate();
      record.peer_key = key.public_key();
      record.role = fmt::format("stage-{}", i);
      record.sequence = 1;
      for (const std::string& host : {fmt::format("192.168.1.{}", 2 + i % 200),
                                      fmt::format("203.0.113.{}", 1 + peers.size() % 250)}) {
        record.candidates.push_back(net::parse_endpoint(fmt::format("tcp://{}:7200", host)));
      }
      peers.push_back({.key = std::move(key),
                       .role = record.role,
                       .record = net::sign(record, member_key),
                       .run = runs.size()});
      run.members.push_back(&peers.back());
    }
    std::ranges::sort(run.members, {}, &Peer::place);
    for (std::size_t at = 0; at < run.members.size(); ++at) {
      peers[static_cast<std::size_t>(run.members[at] - peers.data())].at = at;
    }
    runs.push_back(std::move(run));
  }
}

inline Slice Population::page(const Run& run, std::size_t begin) const {
  Slice slice{.begin = begin, .end = begin};
  std::size_t bytes = 0;
  for (; slice.end < run.members.size(); ++slice.end) {
    const net::SignedRecord& record = run.members[slice.end]->record;
    bytes += record.record.size() + record.signature.size();
    if (slice.end > begin && bytes > relay::kPageBytes) break;
  }
  return slice;
}

}  // namespace ptrain::bench
