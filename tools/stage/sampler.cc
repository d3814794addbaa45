#include "tools/stage/sampler.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace ptrain::stage {

std::int32_t sample_token(std::span<const float> logits, const SamplerOptions& options,
                          job::KeyedRandom& random) {
  const auto likeliest = std::max_element(logits.begin(), logits.end()) - logits.begin();
  if (options.temperature == 0) return static_cast<std::int32_t>(likeliest);

  std::vector<std::int32_t> tokens(logits.size());
  std::iota(tokens.begin(), tokens.end(), 0);
  if (options.top_k > 0 && static_cast<std::size_t>(options.top_k) < tokens.size()) {
    // Ties go to the lower token, so the choice does not depend on the sort.
    std::nth_element(tokens.begin(), tokens.begin() + options.top_k, tokens.end(),
                     [&](std::int32_t a, std::int32_t b) {
                       return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
                     });
    tokens.resize(static_cast<std::size_t>(options.top_k));
    std::sort(tokens.begin(), tokens.end());
  }
  std::vector<double> cumulative;
  double total = 0;
  for (const std::int32_t token : tokens) {
    total +=
        std::exp((static_cast<double>(logits[token]) - logits[likeliest]) / options.temperature);
    cumulative.push_back(total);
  }
  const auto chosen =
      std::upper_bound(cumulative.begin(), cumulative.end(), random.uniform() * total);
  const auto index = std::min<std::ptrdiff_t>(chosen - cumulative.begin(),
                                              static_cast<std::ptrdiff_t>(tokens.size()) - 1);
  return tokens[static_cast<std::size_t>(index)];
}

}  // namespace ptrain::stage
