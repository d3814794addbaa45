// What the head costs by the rows of its chunks (tools/stage/model/head.h): loss and gradient of a
// microbatch, the best of several, in milliseconds.
//
//   bench_stage_head --vocab 32000 --hidden 768 --rows 1024 --precision bf16 --chunks 64,192,384
//
// Prints one JSON object a chunk.

#include <algorithm>
#include <chrono>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include <ATen/Parallel.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "tools/stage/kernels/kernels.h"
#include "tools/stage/model/blas_environment.h"
#include "tools/stage/model/head.h"

namespace ptrain::stage {
namespace {

struct Options {
  std::string precision = "bf16";
  std::int64_t vocab = 32000;
  std::int64_t hidden = 768;
  std::int64_t rows = 1024;
  std::vector<std::int64_t> chunks;  // none: what the head chooses
  int threads = 1;
  int repeats = 5;
};

double best_ms(const Options& options, std::int64_t chunk) {
  const bool narrow = options.precision == "bf16";
  const std::unique_ptr<Ops> ops =
      make_ops(at::kCPU, narrow ? job::ComputePrecision::bfloat16 : job::ComputePrecision::float32);
  const at::TensorOptions compute = ops->compute();
  const auto weight = [&](at::IntArrayRef shape) {
    return Weight{at::randn(shape, ops->master()).mul_(0.02).to(compute),
                  at::zeros(shape, ops->master())};
  };
  const Weight projection = weight({options.vocab, options.hidden});
  const Weight norm{at::ones({options.hidden}, ops->master()),
                    at::zeros({options.hidden}, ops->master())};
  HeadScratch scratch(options.rows, options.hidden, chunk, options.vocab, compute, ops->master());
  Head head{*ops, norm, projection, 1e-5, scratch};
  const at::Tensor x = at::randn({options.rows, options.hidden}, ops->master()).to(compute);
  const at::Tensor dx = at::empty_like(x);
  const at::Tensor targets = at::randint(options.vocab, {options.rows}, at::kInt);
  double best = 1e30;
  for (int i = 0; i <= options.repeats; ++i) {
    const auto start = std::chrono::steady_clock::now();
    head.loss_and_gradient(x, targets, 1.0 / static_cast<double>(options.rows), dx);
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
    if (i > 0) best = std::min(best, took.count());
  }
  return best;
}

void run(Options options) {
  at::set_num_threads(options.threads);
  kernels::set_threads(options.threads);
  if (options.chunks.empty()) {
    options.chunks = {logits_rows(options.rows, options.vocab, at::kCPU)};
  }
  for (const std::int64_t chunk : options.chunks) {
    const nlohmann::json line{{"precision", options.precision},
                              {"vocab", options.vocab},
                              {"hidden", options.hidden},
                              {"rows", options.rows},
                              {"chunk", chunk},
                              {"ms", best_ms(options, chunk)}};
    std::cout << line.dump() << std::endl;
  }
}

}  // namespace
}  // namespace ptrain::stage

int main(int argc, char** argv) {
  ptrain::stage::prepare_blas_environment(argv);
  ptrain::stage::Options options;
  CLI::App app("The head by the rows of its chunks, timed");
  app.add_option("--precision", options.precision)->check(CLI::IsMember({"fp32", "bf16"}));
  app.add_option("--vocab", options.vocab);
  app.add_option("--hidden", options.hidden);
  app.add_option("--rows", options.rows);
  app.add_option("--chunks", options.chunks)->delimiter(',');
  app.add_option("--threads", options.threads);
  app.add_option("--repeats", options.repeats);
  CLI11_PARSE(app, argc, argv);
  ptrain::stage::run(options);
  return 0;
}
