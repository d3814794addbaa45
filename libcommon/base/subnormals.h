// What a thread makes of subnormal numbers, those nearer to zero than the smallest normal
// one, 1.2e-38 in float32: it computes with them, as IEEE 754 says and as every thread begins, or
// takes them for zero, because some processors are a hundred times as slow with one.
//
// The mode belongs to a thread and changes bits. Code whose bits must be the same whoever calls it
// sets the one that it needs, and gives the caller's back. On other processors than x86-64 and
// arm64 nothing is set.

#pragma once

#include <cstdint>

namespace ptrain {

enum class Subnormals {
  kept,
  flushed,  // to zero: in operands and in results
};

// In the calling thread, from here to the end of its scope.
class SubnormalMode {
 public:
  explicit SubnormalMode(Subnormals mode);
  ~SubnormalMode();
  SubnormalMode(const SubnormalMode&) = delete;
  SubnormalMode& operator=(const SubnormalMode&) = delete;

 private:
  std::uint64_t before_;  // the processor's word
};

}  // namespace ptrain
