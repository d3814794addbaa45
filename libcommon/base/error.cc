#include "libcommon/base/error.h"

#include <cerrno>
#include <system_error>

namespace ptrain {

namespace {

// Descriptors and memory come back when something else ends; no file is at fault.
ErrorKind kind_of(int error_number) {
  const bool lacking = error_number == EMFILE || error_number == ENFILE || error_number == ENOMEM;
  return lacking ? ErrorKind::try_again : ErrorKind::io;
}

}  // namespace

Error io_error(const std::string& attempt, int error_number, std::string hint) {
  return Error(kind_of(error_number),
               attempt + ": " + std::generic_category().message(error_number), std::move(hint));
}

}  // namespace ptrain
