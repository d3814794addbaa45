// The outer optimiser of DiLoCo (arXiv 2311.08105, algorithm 1): what lanes that trained apart for
// some steps make of their weights.
//
//   d = anchor - weights                        each lane's pseudo-gradient, which is summed
//   g = (sum of d over the lanes) / weight      weight: how many lanes, or the sum of their weights
//   v = momentum v + g                          Nesterov's momentum, as torch.optim.SGD has it
//   anchor = anchor - lr (g + momentum v)
//   weights = kept weights + (1 - kept) anchor  kept: 0, or the mixing factor of streaming DiLoCo
//                                               (arXiv 2501.18512, section 2.2), whose exchange
//                                               arrives some steps after it began
//
// All of it in float32, element by element, every operation rounded by itself: the same bits on
// every processor, in whichever parts the vectors are taken, and whether or not the calling thread
// takes subnormal numbers for zero. Pure; any thread. Spans of one call have one length and do not
// overlap: Error(internal) where they have not.

#pragma once

#include <span>

namespace ptrain::reduce {

struct OuterRule {
  float lr = 0.7F;
  float momentum = 0.9F;  // 0.6 where Muon is inside (MuLoCo)

  bool operator==(const OuterRule&) const = default;
};

void pseudo_gradient(std::span<const float> anchor, std::span<const float> weights,
                     std::span<float> out);

// `velocity` is v, 0 at first: state of the job, in its checkpoints, as the anchor is. Throws
// Error(internal) unless the weight is finite and more than 0.
void outer_step(const OuterRule& rule, std::span<const float> sum, float weight,
                std::span<float> anchor, std::span<float> velocity);

// to = kept x to + (1 - kept) x from; with kept 0 a copy, bit for bit. Throws Error(internal)
// unless kept is within 0 and 1.
void mix(float kept, std::span<const float> from, std::span<float> to);

}  // namespace ptrain::reduce
