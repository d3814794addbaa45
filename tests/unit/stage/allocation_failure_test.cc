#include "tools/stage/allocation_failure.h"

#include <stdexcept>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ptrain::stage {
namespace {

using testing::AllOf;
using testing::HasSubstr;

TEST(AllocationFailure, OfATensorSaysWhatWasNeededAndWhatThereIs) {
  try {
    with_memory_errors([] { return at::empty({std::int64_t{1} << 48}, at::kFloat); });
    FAIL() << "a pebibyte was had";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::try_again);
    EXPECT_THAT(error.what(),
                AllOf(HasSubstr("a tensor: 1.0 PiB needed, "), HasSubstr("available")));
    EXPECT_THAT(error.hint(), HasSubstr("batch.micro"));
  }
}

TEST(AllocationFailure, IsReadFromWhatReleasesOfLibtorchSayOfAGpu) {
  const auto text_of = [](const char* text) {
    const auto error = allocation_failure_in(text);
    return error ? std::string(error->what()) : "no failure of memory";
  };
  EXPECT_EQ(text_of("CUDA out of memory. Tried to allocate 20.00 MiB (GPU 0; 14.76 GiB total "
                    "capacity; 13.51 GiB already allocated; 10.75 MiB free; 13.69 GiB reserved in "
                    "total by PyTorch) If reserved memory is >> allocated memory try ..."),
            "out of memory for a tensor on the GPU: 20.0 MiB needed, 10.8 MiB available");
  EXPECT_EQ(text_of("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of "
                    "79.11 GiB of which 1.50 GiB is free. Including non-PyTorch memory, ..."),
            "out of memory for a tensor on the GPU: 2.0 GiB needed, 1.5 GiB available");
  EXPECT_EQ(text_of("CUDA error: out of memory"), "out of memory for a tensor on the GPU");
  EXPECT_EQ(text_of("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
            "out of memory for a tensor on the GPU");
  EXPECT_EQ(
      text_of("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"),
      "out of memory for a tensor on the GPU");
  EXPECT_EQ(text_of("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm(...)`"),
            "no failure of memory");
  EXPECT_EQ(text_of("The size of tensor a (3) must match"), "no failure of memory");
}

TEST(AllocationFailure, LeavesOtherExceptionsAsTheyAre) {
  EXPECT_THROW(with_memory_errors([]() -> int { throw std::logic_error("x"); }), std::logic_error);
  EXPECT_THROW(with_memory_errors([]() -> int { throw Error(ErrorKind::usage, "x"); }), Error);
  EXPECT_EQ(with_memory_errors([] { return 3; }), 3);
}

}  // namespace
}  // namespace ptrain::stage
