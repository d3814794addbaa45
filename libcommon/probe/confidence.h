// The mean of a series, and within what bounds it lies by 95 %. Pure.
//
// Student's t for few values; neighbours that resemble each other, as the rates of a TCP connection
// do, count for fewer values than they are (the first autocorrelation, as of an AR(1) process).

#pragma once

#include <optional>
#include <span>

namespace ptrain::probe {

struct Confidence {
  double mean = 0;
  double half_width = 0;  // the mean lies within this much of `mean`, by 95 %
  bool operator==(const Confidence&) const = default;

  double relative() const { return mean == 0 ? 0 : half_width / mean; }
};

// nullopt of fewer than two values.
std::optional<Confidence> confidence_of(std::span<const double> values);

// The 0.975 quantile of Student's distribution. Precondition: at least one degree of freedom.
double student_t(double degrees_of_freedom);

}  // namespace ptrain::probe
