#include "libcommon/base/error.h"

#include <system_error>

namespace ptrain {

Error io_error(const std::string& attempt, int error_number, std::string hint) {
  return Error(ErrorKind::io, attempt + ": " + std::generic_category().message(error_number),
               std::move(hint));
}

}  // namespace ptrain
