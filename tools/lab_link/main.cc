// lab-link: a long link of the laboratory, between two network devices that it makes. See
// recipes/lab/lab.sh, which moves them to where they belong once this has printed their names.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "libcommon/base/clock.h"
#include "libcommon/cli/number_range.h"
#include "libcommon/cli/output.h"
#include "libcommon/cli/program.h"
#include "tools/lab_link/link.h"

namespace {

using namespace ptrain;

struct Options {
  std::string name;
  std::string near;
  std::string far;
  std::uint64_t up_bits_per_s = 0;
  std::uint64_t down_bits_per_s = 0;
  double queue_ms = 50;
  // One value for both ways, or one for each.
  std::vector<double> delay_ms{0};
  std::vector<double> jitter_ms{0};
  std::vector<double> loss_percent{0};
  std::uint64_t seed = 1;
};

enum Way : std::size_t { kUp, kDown };

double of_way(const std::vector<double>& values, Way way) {
  return values.at(std::min<std::size_t>(way, values.size() - 1));
}

lab_link::LineOptions line_of(const Options& options, Way way) {
  const auto duration = [](double ms) { return Duration(static_cast<std::int64_t>(ms * 1e6)); };
  return {.rate_bits_per_s = way == kUp ? options.up_bits_per_s : options.down_bits_per_s,
          .queue = duration(options.queue_ms),
          .delay = duration(of_way(options.delay_ms, way)),
          .jitter = duration(of_way(options.jitter_ms, way)),
          .loss = of_way(options.loss_percent, way) / 100,
          .seed = options.seed,
          .name = options.name + (way == kUp ? " up" : " down")};
}

int run(const Options& options) {
  lab_link::Tap near(options.near);
  lab_link::Tap far(options.far);
  lab_link::Direction up(near, far, line_of(options, kUp));
  lab_link::Direction down(far, near, line_of(options, kDown));
  cli::print("{} {}\n", options.near, options.far);
  cli::flush_output();
  lab_link::run_link(up, down, SteadyClock());
}

}  // namespace

int main(int argc, char** argv) {
  constexpr double kMostMs = 10'000;
  CLI::App app("A long link of the laboratory (recipes/lab/lab.sh --help).", "lab-link");
  Options options;
  app.add_option("--name", options.name, "Of the link; with the seed it decides what is lost");
  app.add_option("--near", options.near, "The device at the host's end")->required();
  app.add_option("--far", options.far, "The device at the other end")->required();
  app.add_option("--up", options.up_bits_per_s, "Bits a second from near to far; 0: no limit");
  app.add_option("--down", options.down_bits_per_s, "Bits a second from far to near");
  app.add_option("--queue", options.queue_ms, "The longest that a frame waits to be sent, ms")
      ->check(ptrain::cli::number_range(0.0, kMostMs));
  app.add_option("--delay", options.delay_ms, "Each way, ms; or two values, up and down")
      ->expected(1, 2)
      ->check(ptrain::cli::number_range(0.0, kMostMs));
  app.add_option("--jitter", options.jitter_ms, "By how much the delay wanders, ms; likewise")
      ->expected(1, 2)
      ->check(ptrain::cli::number_range(0.0, kMostMs));
  app.add_option("--loss", options.loss_percent, "Of a hundred packets, each way; likewise")
      ->expected(1, 2)
      ->check(ptrain::cli::number_range(0.0, 100.0));
  app.add_option("--seed", options.seed);
  app.footer("Example:\n  lab-link --near wan-1 --far to-router1 --up 20000000 --delay 40 15");
  return ptrain::cli::run_program(app, argc, argv, [&] { return run(options); });
}
