// Muon (Jordan et al., 2024): the hidden matrices move by their momentum made orthogonal, the rest
// (embedding, head, norms) by AdamW.
//
//   m = momentum m + (1 - momentum) g           u = momentum m + (1 - momentum) g   (Nesterov)
//   o = the nearest matrix to u whose singular values are all about 1 (newton_schulz())
//   w = w (1 - lr decay) - lr scale o           decay applies where spec.decay says so
//
// where g is the accumulated gradient times the clip factor, as in torch.optim.Muon. A hidden
// matrix is a parameter of a decoder layer with two dimensions; q, k and v, gate and up are each
// its own.
//
// Its momentum is ".momentum_buffer" in a checkpoint; the others have AdamW's state.

#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include <ATen/ATen.h>

#include "libcommon/job/job.h"
#include "tools/stage/model/matrix_product.h"
#include "tools/stage/model/parameter.h"
#include "tools/stage/optim/adamw.h"
#include "tools/stage/optim/optimiser.h"

namespace ptrain::stage {

// By what an orthogonal update of a matrix [rows, columns] is multiplied.
enum class MuonScale {
  // sqrt(max(1, rows / columns)): Jordan's own; learning rates around 0.02.
  spectral,
  // 0.2 sqrt(max(rows, columns)): an element changes about as much as AdamW would change it, so
  // that
  // AdamW's learning rate and decay hold (Liu et al., arXiv 2502.16982, section 2.2).
  adamw,
};

// What the factors of products are; sums are float32 either way. Part of the job, as it changes
// bits.
enum class NewtonSchulzPrecision { float32, bfloat16 };

struct MuonConfig {
  double momentum = 0.95;
  MuonScale scale = MuonScale::adamw;
  double adamw_lr_ratio = 1.0;  // AdamW's learning rate, as a part of Muon's
  NewtonSchulzPrecision precision = NewtonSchulzPrecision::float32;
};

// Five steps of X = a X + (b A + c A A) X, A = X X^T, from X = u / |u|: singular values above a
// thousandth of the norm come to lie between 0.68 and 1.13. With a, b, c = 3.4445, -4.7750, 2.0315
// of Jordan's publication. `u` is float32 [rows, columns] and contiguous, as is the result; nothing
// but zeros stays zero. Products are those of the model, and all else is computed element by
// element in one order, so neither threads nor a cut of the job change a bit.
at::Tensor newton_schulz(const at::Tensor& u, NewtonSchulzPrecision precision,
                         MatrixProduct& product);

class Muon final : public Optimiser {
 public:
  Muon(const MuonConfig& config, const job::OptimConfig& others,
       const std::vector<Parameter>& parameters);

  static bool is_hidden_matrix(const Parameter& parameter);

  std::vector<OptimiserState> state(std::size_t i) const override;

 private:
  // Where the state of a parameter is.
  struct Place {
    bool hidden = false;
    std::size_t index = 0;  // in momenta_, or among those of AdamW
  };

  void update(std::vector<Parameter>& parameters, double lr, double clip_factor) override;
  void move(Parameter& parameter, at::Tensor& momentum, double lr, double clip_factor);

  MuonConfig config_;
  double weight_decay_;
  std::vector<Place> places_;        // one a parameter
  std::vector<at::Tensor> momenta_;  // float32
  AdamW others_;
  MatrixProduct product_;
};

}  // namespace ptrain::stage
