#include "tools/stage/allocation_failure.h"

#include <new>
#include <regex>

#include <c10/util/Exception.h>

#include "libcommon/os/memory_error.h"

namespace ptrain::stage {
namespace {

constexpr const char* kHint =
    "use a smaller batch.micro or data.seq_len, train.recompute = \"layer\", or more stages";

// "20.00 MiB", "1024 bytes"
std::optional<ByteCount> size_in(const std::smatch& match) {
  const double number = std::stod(match[1]);
  const std::string unit = match[2];
  double factor = 1;
  for (const char* larger : {"KiB", "MiB", "GiB", "TiB"}) {
    factor *= 1024;
    if (unit == larger) return ByteCount(static_cast<std::uint64_t>(number * factor));
  }
  return ByteCount(static_cast<std::uint64_t>(number));
}

std::optional<ByteCount> find_size(const std::string& text, const char* pattern) {
  std::smatch match;
  if (!std::regex_search(text, match, std::regex(pattern))) return std::nullopt;
  return size_in(match);
}

}  // namespace

std::optional<Error> allocation_failure_in(const std::string& text) {
  if (text.find("can't allocate memory") != std::string::npos) {
    return os::memory_error("a tensor", find_size(text, "tried to allocate ([0-9]+) (bytes)"),
                            os::available_memory(), kHint);
  }
  // cuBLAS says it in its own words, and where it begins, in none.
  bool of_gpu = false;
  for (const char* words : {"out of memory", "CUBLAS_STATUS_ALLOC_FAILED",
                            "CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate"}) {
    of_gpu = of_gpu || text.find(words) != std::string::npos;
  }
  if (!of_gpu) return std::nullopt;
  // 1.13: "10.75 MiB free"; 2: "of which 1.05 GiB is free"
  return os::memory_error("a tensor on the GPU",
                          find_size(text, "[Tt]ried to allocate ([0-9.]+) ([A-Za-z]+)"),
                          find_size(text, "([0-9.]+) ([KMGT]iB|bytes) (?:is )?free"), kHint);
}

std::optional<Error> allocation_failure(const std::exception& exception) {
  if (const auto* failure = dynamic_cast<const std::bad_alloc*>(&exception)) {
    return os::memory_error(*failure, kHint);
  }
  const auto* error = dynamic_cast<const c10::Error*>(&exception);
  if (error == nullptr) return std::nullopt;
  return allocation_failure_in(error->what_without_backtrace());
}

}  // namespace ptrain::stage
