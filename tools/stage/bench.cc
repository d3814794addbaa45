// ptrain-stage bench: how fast this host computes each part of a job's model, for a plan.

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <ATen/Parallel.h>
#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "libcommon/base/clock.h"
#include "libcommon/base/error.h"
#include "libcommon/base/log.h"
#include "libcommon/cli/exit_code.h"
#include "libcommon/cli/number_range.h"
#include "libcommon/cli/output.h"
#include "libcommon/job/job_file.h"
#include "libcommon/job/job_keys.h"
#include "libcommon/job/partition.h"
#include "libcommon/job/useful_threads.h"
#include "libcommon/metrics/process_memory.h"
#include "libcommon/net/wall_time.h"
#include "libcommon/os/share_of_machine.h"
#include "libcommon/plan/links_file.h"
#include "tools/stage/bench/block_bench.h"
#include "tools/stage/bench/codec_bench.h"
#include "tools/stage/cell/numerics_class.h"
#include "tools/stage/commands.h"
#include "tools/stage/compute_device.h"

namespace ptrain::stage {
namespace {

constexpr double kMostSeconds = 3600;
constexpr double kCodecPart = 0.03;  // of the seconds, for each way of each codec

struct BenchOptions {
  std::string job_file;
  std::vector<std::string> overrides;
  std::vector<std::int64_t> micros;  // besides the job's
  std::string host;
  double seconds = 10;
  bool json = false;
  ComputeOptions compute;
};

std::string host_name(const BenchOptions& options) {
  std::string name = options.host;
  if (name.empty()) {
    char own[256] = {};
    if (::gethostname(own, sizeof own - 1) == 0) name = own;
  }
  if (plan::is_host_name(name)) return name;
  throw Error(ErrorKind::usage,
              fmt::format("{} is no name for a host in a plan",
                          options.host.empty() ? fmt::format("this host's name, {},", name)
                                               : "--host " + name),
              "1 to 128 letters, digits, ., _ and -, as its links have it: --host NAME");
}

Duration duration_of(double seconds) {
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
}

// What the machine has, or a container may have of it.
std::uint64_t memory_bytes(const os::ShareOfMachine& share) {
  if (share.memory_limited_by_cgroup) return share.memory->value();
  return static_cast<std::uint64_t>(::sysconf(_SC_PHYS_PAGES)) *
         static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

plan::HostCompute measure(const job::Job& job, const BenchOptions& options) {
  plan::HostCompute host;
  host.name = host_name(options);
  const os::ShareOfMachine share = os::read_share_of_machine();
  const job::StageSpan whole = job::partition(job, 1).front();
  const Compute compute = prepare_compute(options.compute, job::useful_threads(job, whole));
  StderrLog log("ptrain-stage");
  std::set<std::int64_t> micros(options.micros.begin(), options.micros.end());
  micros.insert(job.batch.micro);
  log.info(fmt::format("{}; measuring for about {:.3g} s", compute.words,
                       options.seconds * static_cast<double>(micros.size())));

  const Duration budget = duration_of(options.seconds);
  std::size_t laps = 0;
  for (const std::int64_t micro : micros) {
    const BlockBench blocks = bench_blocks(job, micro, compute.device, budget);
    host.blocks[micro] = blocks.blocks;
    laps = laps == 0 ? blocks.laps : std::min(laps, blocks.laps);
    if (micro != job.batch.micro) continue;
    const std::uint64_t peak = metrics::peak_rss_bytes();
    host.program_bytes = peak - std::min(peak, blocks.held.value());
  }
  host.codecs = bench_codecs(job, job.batch.micro, duration_of(kCodecPart * options.seconds));
  host.numerics = numerics_class(job, compute.device);
  host.time_s = static_cast<double>(net::wall_now().time_since_epoch().count());
  host.cores = static_cast<std::uint64_t>(share.threads());
  host.free_bytes = share.memory.value_or(ByteCount(0)).value();
  host.memory_bytes = std::max(memory_bytes(share), host.free_bytes);
  host.shape = plan::shape_of(job);
  host.detail = {
      {"threads", at::get_num_threads()}, {"device", compute.device.str()}, {"laps", laps}};
  return host;
}

void print_table(const plan::HostCompute& host) {
  cli::print("{}: numerics class {}, {} processors, {:.1f} of {:.1f} GiB free\n\n", host.name,
             host.numerics, host.cores, static_cast<double>(host.free_bytes) / (1 << 30),
             static_cast<double>(host.memory_bytes) / (1 << 30));
  cli::print("{:<10} {:>5} {:>10} {:>10} {:>10} {:>10} {:>9} {:>9}\n", "block", "micro", "forward",
             "input", "weight", "update", "kept", "deferred");
  for (const auto& [micro, kinds] : host.blocks) {
    for (std::size_t kind = 0; kind < plan::kBlockKinds; ++kind) {
      const plan::BlockCompute& b = kinds[kind];
      cli::print(
          "{:<10} {:>5} {:>7.2f} ms {:>7.2f} ms {:>7.2f} ms {:>7.2f} ms {:>6.1f} MB {:>6.1f} MB\n",
          plan::kBlockKindNames[kind], micro, b.forward_s * 1e3, b.input_s * 1e3, b.weight_s * 1e3,
          b.update_s * 1e3, static_cast<double>(b.kept_bytes) / 1e6,
          static_cast<double>(b.deferred_bytes) / 1e6);
    }
  }
  cli::print("\n");
  for (const auto& [name, rates] : host.codecs) {
    cli::print("codec {:<5} {:>7.2f} GB/s in, {:>7.2f} GB/s out\n", name,
               rates.encode_bytes_per_s / 1e9, rates.decode_bytes_per_s / 1e9);
  }
}

int bench(const BenchOptions& options) {
  StderrLog log("ptrain-stage");
  job::Remarks remarks;
  const job::Job job = job::load_job(options.job_file, options.overrides, &remarks);
  for (const std::string& remark : remarks) log.info(remark);
  for (const std::int64_t micro : options.micros) {
    if (job.batch.global % micro == 0) continue;
    throw Error(ErrorKind::usage, fmt::format("--micro {}: it does not divide batch.global {}",
                                              micro, job.batch.global));
  }
  const plan::HostCompute host = measure(job, options);
  if (options.json) {
    cli::print("{}\n", plan::write_compute(host));
  } else {
    print_table(host);
  }
  cli::flush_output();
  return cli::kDone;
}

}  // namespace

void add_bench(CLI::App& app, Command& command) {
  CLI::App* sub = app.add_subcommand("bench", "Measure how fast this host computes a job's blocks");
  auto o = std::make_shared<BenchOptions>();
  sub->add_option("--job", o->job_file, "Job file, see ptrain-job(5); - is standard input")
      ->required();
  sub->add_option("--set", o->overrides, "Override a key of the job: KEY=VALUE")
      ->expected(1)
      ->take_all();
  sub->add_option("--micro", o->micros, "Another batch.micro to measure with; may be given again")
      ->expected(1)
      ->take_all()
      ->check(cli::whole_range(std::uint64_t{1}, std::uint64_t{job::kMaxBatch}));
  sub->add_option("--host", o->host, "What the links call this host; by default its own name");
  sub->add_option("--seconds", o->seconds, "How long to measure, with each batch.micro")
      ->check(cli::number_range(0.01, kMostSeconds))
      ->capture_default_str();
  add_compute_options(*sub, o->compute);
  sub->add_flag("--json", o->json, "Print a line for ptrain-probe plan");
  sub->footer("Example:\n  ptrain-stage bench --job job.toml --host east --json >>compute.jsonl");
  sub->callback([&command, o] { command = [o] { return bench(*o); }; });
}

}  // namespace ptrain::stage
