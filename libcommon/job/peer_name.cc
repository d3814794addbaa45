#include "libcommon/job/peer_name.h"

#include <algorithm>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/base/in_quotes.h"

namespace ptrain::job {
namespace {

bool may_stand_in_a_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '_' || c == '-';
}

bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= PeerName::kMaxBytes &&
         std::all_of(text.begin(), text.end(), may_stand_in_a_name);
}

}  // namespace

PeerName::PeerName(std::string_view text) : text_(text) {
  if (!is_name(text)) {
    throw Error(ErrorKind::usage, fmt::format("{} is no name of a peer", in_quotes(text)),
                fmt::format("use 1 to {} letters, digits, dots, dashes or underscores", kMaxBytes));
  }
}

std::optional<PeerName> PeerName::parse(std::string_view text) {
  if (!is_name(text)) return std::nullopt;
  PeerName name;
  name.text_ = text;
  return name;
}

}  // namespace ptrain::job
