// weights_sha256: one number for "the same weights", whatever the cut.
//
// SHA-256 over, for every parameter of the model in canonical order: the name in
// UTF-8, one zero byte, and the 32 bytes of the SHA-256 of the tensor's bytes.

#pragma once

#include <string_view>

#include "libcommon/base/sha256.h"

namespace ptrain::ckpt {

class WeightsDigest {
 public:
  // In canonical order (job::parameters), each parameter once.
  WeightsDigest& add(std::string_view name, const Sha256Digest& tensor_sha256);
  // Ends the computation.
  Sha256Digest digest();

 private:
  Sha256 hash_;
};

}  // namespace ptrain::ckpt
