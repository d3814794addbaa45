#include "tools/stage/model/rope_table.h"

namespace ptrain::stage {

RopeTable make_rope_table(const job::ModelConfig& config, std::int64_t positions,
                          at::TensorOptions options) {
  const auto doubles = at::TensorOptions().dtype(at::kDouble);
  const at::Tensor exponent =
      at::arange(0, config.head_dim, 2, doubles) / static_cast<double>(config.head_dim);
  const at::Tensor frequency = at::pow(config.rope_theta, -exponent);
  const at::Tensor angle = at::outer(at::arange(positions, doubles), frequency);
  return {angle.cos().to(options), angle.sin().to(options)};
}

}  // namespace ptrain::stage
