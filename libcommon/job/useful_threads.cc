#include "libcommon/job/useful_threads.h"

#include <algorithm>
#include <limits>

namespace ptrain::job {

std::int64_t largest_product(const Job& job, const StageSpan& span) {
  const ModelConfig& model = job.model;
  // The limits of job_keys.h keep the sides far below where their product would overflow a double.
  double columns = static_cast<double>(model.intermediate_size);
  columns = std::max(columns, static_cast<double>(model.num_attention_heads * model.head_dim));
  if (span.head) columns = std::max(columns, static_cast<double>(model.vocab_size));
  const double operations = 2.0 * static_cast<double>(job.batch.micro * job.data.seq_len) *
                            static_cast<double>(model.hidden_size) * columns;
  constexpr double kMost = 1e18;
  return static_cast<std::int64_t>(std::min(operations, kMost));
}

int useful_threads(const Job& job, const StageSpan& span) {
  const std::int64_t threads = largest_product(job, span) / kOperationsPerThread;
  return static_cast<int>(std::clamp<std::int64_t>(threads, 1, std::numeric_limits<int>::max()));
}

}  // namespace ptrain::job
