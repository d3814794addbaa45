#include "tools/stage/model/generic_ops.h"

#include <cmath>
#include <limits>
#include <vector>

namespace ptrain::stage {
namespace {

// [batch * tokens, heads * head_dim] (a column range of it) as [batch, heads, tokens, head_dim].
at::Tensor by_head(const at::Tensor& rows, const AttentionShape& s, std::int64_t first,
                   std::int64_t heads) {
  return rows.narrow(1, first * s.head_dim, heads * s.head_dim)
      .view({s.batch, s.tokens, heads, s.head_dim})
      .transpose(1, 2);
}

struct QueryKeyValue {
  at::Tensor query;
  at::Tensor key;
  at::Tensor value;
};

QueryKeyValue split(const at::Tensor& qkv, const AttentionShape& s) {
  return {by_head(qkv, s, 0, s.heads), by_head(qkv, s, s.heads, s.key_value_heads),
          by_head(qkv, s, s.heads + s.key_value_heads, s.key_value_heads)};
}

// One copy of a key-value head for each query head that shares it, and the sum back.
at::Tensor repeat_heads(const at::Tensor& x, const AttentionShape& s) {
  return x.repeat_interleave(s.heads / s.key_value_heads, 1);
}
at::Tensor sum_heads(const at::Tensor& x, const AttentionShape& s) {
  return x.view({s.batch, s.key_value_heads, s.heads / s.key_value_heads, s.tokens, s.head_dim})
      .sum(2);
}

at::Tensor scores(const at::Tensor& query, const at::Tensor& key, const AttentionShape& s) {
  const at::Tensor later = at::ones({s.tokens, s.tokens}, query.options().dtype(at::kBool)).triu(1);
  return (at::matmul(query, key.transpose(-1, -2)) / std::sqrt(static_cast<double>(s.head_dim)))
      .masked_fill(later, -std::numeric_limits<double>::infinity());
}

}  // namespace

GenericOps::GenericOps(at::Device device, at::ScalarType compute, at::ScalarType master)
    : compute_(at::TensorOptions().device(device).dtype(compute)),
      master_(at::TensorOptions().device(device).dtype(master)) {}

void GenericOps::linear(const at::Tensor& x, const at::Tensor& w, const at::Tensor& residual,
                        at::Tensor y) {
  if (residual.defined()) {
    at::addmm_out(y, residual, x, w.t());
  } else {
    at::mm_out(y, x, w.t());
  }
}

void GenericOps::logits(const at::Tensor& x, const at::Tensor& w, at::Tensor y) {
  y.copy_(at::mm(wide(x), wide(w).t()));
}

void GenericOps::linear_input_gradient(const at::Tensor& dy, const at::Tensor& w, at::Tensor dx) {
  at::mm_out(dx, dy, w);
}

void GenericOps::linear_weight_gradient(const at::Tensor& dy, const at::Tensor& x, at::Tensor dw) {
  dw.addmm_(wide(dy).t(), wide(x));
}

void GenericOps::rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps, at::Tensor y) {
  const at::Tensor v = wide(x);
  y.copy_(v * at::rsqrt(v.square().mean(-1, true) + eps) * weight);
}

void GenericOps::rms_norm_backward(const at::Tensor& dy, const at::Tensor& x,
                                   const at::Tensor& weight, double eps, const at::Tensor& residual,
                                   at::Tensor dx, at::Tensor dweight) {
  const at::Tensor v = wide(x);
  const at::Tensor scale = at::rsqrt(v.square().mean(-1, true) + eps);
  const at::Tensor normalised = v * scale;
  const at::Tensor gradient = wide(dy);
  const at::Tensor weighted = gradient * weight;
  at::Tensor result = scale * (weighted - normalised * (weighted * normalised).mean(-1, true));
  if (residual.defined()) result += wide(residual);
  dx.copy_(result);
  dweight += (gradient * normalised).sum(0);
}

void GenericOps::rope(at::Tensor qkv, const RopeTable& table, const AttentionShape& s,
                      Rotation rotation) {
  const std::int64_t heads = s.heads + s.key_value_heads;
  const std::int64_t half = s.head_dim / 2;
  at::Tensor x = by_head(qkv, s, 0, heads);
  const at::Tensor cosine = table.cosine.narrow(0, 0, s.tokens);
  const at::Tensor sine =
      table.sine.narrow(0, 0, s.tokens) * (rotation == Rotation::forward ? 1.0 : -1.0);
  const at::Tensor a = wide(x.narrow(-1, 0, half));
  const at::Tensor b = wide(x.narrow(-1, half, half));
  x.copy_(at::cat({a * cosine - b * sine, b * cosine + a * sine}, -1));
}

void GenericOps::attention(const at::Tensor& qkv, const AttentionShape& s, at::Tensor out,
                           at::Tensor log_sum_exp) {
  const auto [query, key, value] = split(wide(qkv), s);
  const at::Tensor score = scores(query, repeat_heads(key, s), s);
  const at::Tensor total = at::logsumexp(score, -1);
  log_sum_exp.copy_(total);
  const at::Tensor output = at::matmul((score - total.unsqueeze(-1)).exp(), repeat_heads(value, s));
  out.copy_(output.transpose(1, 2).reshape(out.sizes()));
}

void GenericOps::attention_backward(const at::Tensor& d_out, const at::Tensor& qkv,
                                    const at::Tensor& out, const at::Tensor& log_sum_exp,
                                    const AttentionShape& s, at::Tensor d_qkv) {
  const auto [query, key, value] = split(wide(qkv), s);
  const at::Tensor keys = repeat_heads(key, s);
  const at::Tensor d_output = by_head(wide(d_out), s, 0, s.heads);
  const at::Tensor p = (scores(query, keys, s) - wide(log_sum_exp).unsqueeze(-1)).exp();
  const at::Tensor delta = (d_output * by_head(wide(out), s, 0, s.heads)).sum(-1, true);
  const at::Tensor d_p = at::matmul(d_output, repeat_heads(value, s).transpose(-1, -2));
  const at::Tensor d_score = p * (d_p - delta) / std::sqrt(static_cast<double>(s.head_dim));
  const QueryKeyValue to = split(d_qkv, s);
  to.query.copy_(at::matmul(d_score, keys));
  to.key.copy_(sum_heads(at::matmul(d_score.transpose(-1, -2), query), s));
  to.value.copy_(sum_heads(at::matmul(p.transpose(-1, -2), d_output), s));
}

void GenericOps::swiglu(const at::Tensor& gate_up, at::Tensor out) {
  const std::vector<at::Tensor> halves = wide(gate_up).chunk(2, -1);
  out.copy_(halves[0] * at::sigmoid(halves[0]) * halves[1]);
}

void GenericOps::swiglu_backward(const at::Tensor& gate_up, at::Tensor product,
                                 at::Tensor d_gate_up) {
  const std::vector<at::Tensor> halves = wide(gate_up).chunk(2, -1);
  const at::Tensor& gate = halves[0];
  const at::Tensor s = at::sigmoid(gate);
  const at::Tensor d_out = wide(product);
  const at::Tensor d_gate = d_out * halves[1] * s * (1.0 + gate * (1.0 - s));
  d_gate_up.copy_(at::cat({d_gate, d_out * gate * s}, -1));
  product.copy_(gate * s * halves[1]);
}

void GenericOps::embedding(const at::Tensor& tokens, const at::Tensor& table, at::Tensor out) {
  out.copy_(table.index_select(0, tokens.reshape(-1)));
}

void GenericOps::embedding_backward(const at::Tensor& tokens, const at::Tensor& d_out,
                                    at::Tensor d_table) {
  const at::Tensor rows = tokens.reshape(-1);
  if (d_table.is_cuda()) {
    // There index_add_ adds in whatever order its threads come; this one sorts the rows first.
    d_table.index_put_({rows.to(at::kLong)}, wide(d_out), /*accumulate=*/true);
  } else {
    d_table.index_add_(0, rows, wide(d_out));
  }
}

double GenericOps::cross_entropy(at::Tensor logits, const at::Tensor& targets, double scale,
                                 at::Tensor d_logits) {
  const at::Tensor index = targets.reshape({-1, 1}).to(at::kLong);
  const at::Tensor log_p = at::log_softmax(logits, -1);
  const double loss = -log_p.gather(1, index).sum(at::kDouble).item<double>();
  if (d_logits.defined()) {
    const at::Tensor ones = at::ones(index.sizes(), logits.options());
    d_logits.copy_(log_p.exp().scatter_add(1, index, -ones) * scale);
  }
  return loss;
}

void GenericOps::to_compute(const at::Tensor& value, at::Tensor compute) { compute.copy_(value); }

std::int64_t GenericOps::scratch_bytes(const AttentionShape& s) const {
  // Attention holds a handful of [batch, heads, tokens, tokens] temporaries at once.
  return 5 * s.batch * s.heads * s.tokens * s.tokens *
         static_cast<std::int64_t>(master_.dtype().itemsize());
}

}  // namespace ptrain::stage
