// What libtorch says when it gets no memory, as ptrain's Error(try_again): how much was needed and
// how much there is, on the host or on a GPU.
//
// libtorch of Debian throws another type on the CPU (c10::Error, whose text names the allocator)
// than on a GPU (c10::OutOfMemoryError); its texts differ from release to release.

#pragma once

#include <exception>
#include <optional>
#include <string>
#include <utility>

#include "libcommon/base/error.h"

namespace ptrain::stage {

// Nothing where the exception is of another kind.
std::optional<Error> allocation_failure(const std::exception& exception);
// The same for a text of libtorch's.
std::optional<Error> allocation_failure_in(const std::string& text);

// Calls `work`; what is an allocation_failure() leaves as that Error, everything else as it is.
template <class Work>
auto with_memory_errors(Work&& work) -> decltype(work()) {
  try {
    return std::forward<Work>(work)();
  } catch (const Error&) {
    throw;
  } catch (const std::exception& exception) {
    if (const auto failure = allocation_failure(exception)) throw Error(*failure);
    throw;
  }
}

}  // namespace ptrain::stage
