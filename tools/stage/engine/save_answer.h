// Why a checkpoint was not saved, in the place of what says that it was: a stage sends its record
// to the driver, and the driver its manifest to all, or this. Pure.

#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace ptrain::stage {

// Neither a record nor a manifest begins like this: they are JSON objects.
inline constexpr std::string_view kNotSaved = "not saved: ";
inline constexpr std::size_t kMostReasonBytes = 1000;

inline std::string not_saved(std::string_view why) {
  return std::string(kNotSaved).append(why.substr(0, kMostReasonBytes));
}

// Empty for a record or a manifest.
inline std::optional<std::string> why_not_saved(std::string_view answer) {
  if (!answer.starts_with(kNotSaved)) return std::nullopt;
  return std::string(answer.substr(kNotSaved.size(), kMostReasonBytes));
}

}  // namespace ptrain::stage
