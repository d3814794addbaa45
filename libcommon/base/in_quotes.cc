#include "libcommon/base/in_quotes.h"

#include <nlohmann/json.hpp>

namespace ptrain {

std::string in_quotes(std::string_view text) {
  const nlohmann::json value = text.substr(0, kMaxQuotedBytes);
  return value.dump(-1, ' ', /*ensure_ascii=*/true, nlohmann::json::error_handler_t::replace) +
         (text.size() > kMaxQuotedBytes ? "..." : "");
}

}  // namespace ptrain
