#include "libcommon/probe/confidence.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <numeric>

namespace ptrain::probe {
namespace {

constexpr double kNormalQuantile = 1.959964;
// Of 1 to 10 degrees of freedom; beyond them the expansion below is right to four digits.
constexpr std::array<double, 10> kQuantiles{12.7062, 4.3027, 3.1824, 2.7764, 2.5706,
                                            2.4469,  2.3646, 2.3060, 2.2622, 2.2281};
// However alike neighbours are: one value in nineteen counts.
constexpr double kMostAlike = 0.9;

// How much a value says of the next.
double autocorrelation(std::span<const double> values, double mean) {
  double square = 0;
  double product = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    square += (values[i] - mean) * (values[i] - mean);
    if (i > 0) product += (values[i] - mean) * (values[i - 1] - mean);
  }
  return square == 0 ? 0 : std::clamp(product / square, 0.0, kMostAlike);
}

}  // namespace

double student_t(double degrees_of_freedom) {
  const auto whole = static_cast<std::size_t>(std::max(1.0, degrees_of_freedom));
  if (whole <= kQuantiles.size()) return kQuantiles[whole - 1];
  // Cornish and Fisher's expansion (Abramowitz and Stegun 26.7.5).
  const double z = kNormalQuantile;
  const double n = degrees_of_freedom;
  const double first = (std::pow(z, 3) + z) / 4;
  const double second = (5 * std::pow(z, 5) + 16 * std::pow(z, 3) + 3 * z) / 96;
  const double third =
      (3 * std::pow(z, 7) + 19 * std::pow(z, 5) + 17 * std::pow(z, 3) - 15 * z) / 384;
  return z + first / n + second / (n * n) + third / (n * n * n);
}

std::optional<Confidence> confidence_of(std::span<const double> values) {
  if (values.size() < 2) return std::nullopt;
  const auto count = static_cast<double>(values.size());
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / count;
  double square = 0;
  for (const double value : values) square += (value - mean) * (value - mean);
  const double alike = autocorrelation(values, mean);
  const double counting = std::max(2.0, count * (1 - alike) / (1 + alike));
  const double deviation = std::sqrt(square / (count - 1));
  return Confidence{.mean = mean,
                    .half_width = student_t(counting - 1) * deviation / std::sqrt(counting)};
}

}  // namespace ptrain::probe
