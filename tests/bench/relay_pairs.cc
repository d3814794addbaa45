// Members of a run at a relay that is a process of its own, for tests/bench/relay.sh: prints its
// data port and a pair of tokens for each stream, as bench_relay_stream's `relay` does, and stays
// registered until its standard input ends.

#include <cstdio>
#include <exception>
#include <memory>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "libcommon/net/relay_word.h"
#include "tests/unit/relay/relay_client.h"

namespace {

using namespace ptrain;
using Json = nlohmann::ordered_json;

// Two members, and the tokens of a stream between them.
struct Pair {
  Pair(const net::TicketRelay& relay, const relay::TestRun& run)
      : low(relay.control), high(relay.control) {
    low.join(run, "low");
    high.join(run, "high");
    ours = low.ask_for<net::answer::Introduced>(
                  net::request::Introduce{run.as("low"), high.place("high"), 1})
               .tokens.at(0)
               .token;
    theirs = high.push_of<net::answer::Introduced>().tokens.at(0).token;
  }

  relay::RelayClient low;
  relay::RelayClient high;
  std::string ours;
  std::string theirs;
};

void run(const std::string& word, int streams) {
  const net::TicketRelay relay = net::parse_relay_word(word);
  const relay::TestRun run(1);
  std::vector<std::unique_ptr<Pair>> pairs;
  Json low = Json::array();
  Json high = Json::array();
  for (int i = 0; i < streams; ++i) {
    pairs.push_back(std::make_unique<Pair>(relay, run));
    low.push_back(pairs.back()->ours);
    high.push_back(pairs.back()->theirs);
  }
  fmt::print("{}\n", Json{{"port", relay.data_port}, {"low", low}, {"high", high}}.dump());
  std::fflush(stdout);
  char byte = 0;
  while (::read(STDIN_FILENO, &byte, 1) > 0) {
  }
}

}  // namespace

int main(int argc, char** argv) {
  std::string word;
  int streams = 1;
  CLI::App app("Members that have tokens of a relay, for tests/bench/relay.sh");
  app.add_option("--relay", word, "As its serve prints it")->required();
  app.add_option("--streams", streams)->check(CLI::Range(1, 64));
  CLI11_PARSE(app, argc, argv);
  try {
    run(word, streams);
  } catch (const std::exception& error) {
    fmt::print(stderr, "bench_relay_pairs: {}\n", error.what());
    return 1;
  }
  return 0;
}
