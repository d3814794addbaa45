#include "libcommon/ckpt/weights_digest.h"

namespace ptrain::ckpt {

WeightsDigest& WeightsDigest::add(std::string_view name, const Sha256Digest& tensor_sha256) {
  hash_.update(name).update(std::string_view("\0", 1)).update(tensor_sha256);
  return *this;
}

Sha256Digest WeightsDigest::digest() { return hash_.digest(); }

}  // namespace ptrain::ckpt
