#include "tools/stage/cuda_devices.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ptrain::stage {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

TEST(CudaDevices, AreThereOrTheReasonIs) {
  const CudaDevices& found = cuda_devices();
  EXPECT_EQ(found.count > 0, found.why_none.empty()) << found.why_none;
  if (found.count == 0) return;
  EXPECT_NO_THROW(prepare_cuda(c10::Device(c10::kCUDA, 0)));
}

// As libtorch words it; the second line is of no use to whoever reads it.
constexpr const char* kMore =
    "\nCUDA kernel errors might be asynchronously reported at some other API call";

TEST(CudaFailure, OfAGpuThatThePackageHasNoKernelsForNamesTheRemedy) {
  const Error error = cuda_failure(
      "cuda:1",
      std::string("CUDA error: no kernel image is available for execution on the device") + kMore);
  EXPECT_EQ(error.kind(), ErrorKind::unavailable);
  EXPECT_STREQ(error.what(), "--device cuda:1: this libtorch has no kernels for that GPU");
  EXPECT_THAT(error.hint(), HasSubstr("build.sh --torch"));
}

TEST(CudaFailure, OfMemoryOrAnotherProgramMayPass) {
  EXPECT_EQ(cuda_failure("cuda:0", "CUDA error: out of memory").kind(), ErrorKind::try_again);
  const Error busy =
      cuda_failure("cuda:0", "CUDA error: all CUDA-capable devices are busy or unavailable");
  EXPECT_EQ(busy.kind(), ErrorKind::try_again);
  EXPECT_THAT(busy.what(), StartsWith("--device cuda:0: "));
}

TEST(CudaFailure, OfAnyOtherKindIsToldInItsFirstLine) {
  const Error error =
      cuda_failure("cuda:0", std::string("CUDA error: unspecified launch failure") + kMore);
  EXPECT_EQ(error.kind(), ErrorKind::unavailable);
  EXPECT_STREQ(error.what(), "--device cuda:0: CUDA error: unspecified launch failure");
}

}  // namespace
}  // namespace ptrain::stage
