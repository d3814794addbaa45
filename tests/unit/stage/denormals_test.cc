#include "tools/stage/model/denormals.h"

#include <limits>
#include <thread>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <omp.h>

#include "tools/stage/compute_device.h"
#include "tools/stage/kernels/kernels.h"
#include "tools/stage/model/ops.h"

namespace ptrain::stage {
namespace {

using testing::Each;

constexpr float kSmallestNormal = std::numeric_limits<float>::min();
constexpr int kThreads = 3;

// Whether the calling thread computes with denormal numbers: as operands, or as results.
bool keeps_denormals() {
  volatile float denormal = kSmallestNormal / 4;  // made by the compiler
  volatile float normal = kSmallestNormal;
  return denormal * 0x1p20F != 0 || normal * 0.25F != 0;
}

// In each thread of an OpenMP team, and of libtorch's.
std::vector<int> keeping_in_teams() {
  std::vector<int> keeping(2 * kThreads, -1);
#pragma omp parallel num_threads(kThreads)
  keeping[static_cast<std::size_t>(omp_get_thread_num())] = keeps_denormals();
  at::parallel_for(0, kThreads, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      keeping[static_cast<std::size_t>(kThreads + i)] = keeps_denormals();
    }
  });
  return keeping;
}

// The mode stays with the thread that has it, so each test has one, with teams of its own, and the
// other tests keep theirs.
class DenormalsTest : public testing::Test {
 protected:
  template <class Body>
  void in_a_thread(const Body& body) {
    std::thread([&] {
      at::set_num_threads(kThreads);
      kernels::set_threads(kThreads);
      body();
    }).join();
    at::set_num_threads(threads_);
  }

 private:
  int threads_ = at::get_num_threads();
};

TEST_F(DenormalsTest, AreZeroInEveryThreadThatComputes) {
  in_a_thread([] {
    EXPECT_THAT(keeping_in_teams(), Each(1)) << "nothing to see here";  // and the teams exist
    flush_denormals();
    EXPECT_FALSE(keeps_denormals());
    EXPECT_THAT(keeping_in_teams(), Each(0));
    std::thread([] {
      EXPECT_FALSE(keeps_denormals());
      EXPECT_THAT(keeping_in_teams(), Each(0));
    }).join();
  });
  EXPECT_TRUE(keeps_denormals());
}

TEST_F(DenormalsTest, AreZeroInWhateverPrepareComputePrepares) {
  in_a_thread([] {
    prepare_compute({.threads = kThreads});
    EXPECT_FALSE(keeps_denormals());
    EXPECT_THAT(keeping_in_teams(), Each(0));
  });
}

TEST_F(DenormalsTest, DoNotOutliveAnUpdateOnAnyInstructionSet) {
  in_a_thread([] {
    flush_denormals();
    for (const kernels::InstructionSet set : kernels::instruction_sets()) {
      // One vector after another, and a part of one.
      std::vector<float> value(100, 1.0F);
      std::vector<float> grad(100, 0.0F);
      std::vector<float> exp_avg(100, kSmallestNormal / 4);
      std::vector<float> exp_avg_sq(100, 1.01F * kSmallestNormal);  // denormal when it decays
      kernels::run_on(set, kernels::AdamWUpdate{.value = value.data(),
                                                .grad = grad.data(),
                                                .exp_avg = exp_avg.data(),
                                                .exp_avg_sq = exp_avg_sq.data(),
                                                .compute = nullptr,
                                                .size = 100,
                                                .grad_factor = 1.0F,
                                                .beta1 = 0.9F,
                                                .beta2 = 0.95F,
                                                .step_size = 1e-3F,
                                                .inverse_correction2 = 1.0F,
                                                .eps = 1e-8F,
                                                .decay_factor = 1.0F});
      EXPECT_THAT(exp_avg, Each(0.0F));
      EXPECT_THAT(exp_avg_sq, Each(0.0F));
      EXPECT_THAT(value, Each(1.0F));
    }
  });
}

TEST_F(DenormalsTest, CountForNothingInProducts) {
  in_a_thread([] {
    flush_denormals();
    for (const auto precision : {job::ComputePrecision::float32, job::ComputePrecision::bfloat16}) {
      const std::unique_ptr<Ops> ops = make_ops(at::kCPU, precision);
      // Copied bit by bit: a conversion might flush them itself.
      const at::Tensor tiny = at::empty({65, 64}, ops->compute());
      if (precision == job::ComputePrecision::float32) {
        tiny.view(at::kInt).fill_(0x00200000);
      } else {
        tiny.view(at::kShort).fill_(0x0020);
      }
      const at::Tensor large = at::full({63, 64}, 0x1p60, ops->compute());
      at::Tensor product = at::empty({65, 63}, ops->master());
      ops->logits(tiny, large, product);
      EXPECT_TRUE(product.eq(0).all().item<bool>()) << product[0][0];
    }
  });
}

}  // namespace
}  // namespace ptrain::stage
