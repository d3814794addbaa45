// Sizes, times and ids as a person reads them. JSON has the exact numbers instead.

#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "libcommon/base/units.h"
#include "libcommon/ckpt/manifest.h"

namespace ptrain::ckpt_tool {

// "1.2 GB", in powers of 1000 as disks are sold; "512 B" below 1000.
std::string size_text(ByteCount bytes);

// The inverse, for options: a whole number and, optionally, B, kB, MB, GB, TB or KiB, MiB, GiB,
// TiB (in any case). Empty for other text, and for sizes beyond 64 bits.
std::optional<ByteCount> parse_size(std::string_view text);

// "5 s", "3 min", "7 h", "12 days". A time in the future, from another host's clock, is "0 s".
std::string age_text(std::chrono::system_clock::duration age);

// As many digits of an id as a person compares by eye and every command takes back.
inline constexpr std::size_t kShownIdDigits = 12;
std::string short_id(const ckpt::CheckpointId& id);

}  // namespace ptrain::ckpt_tool
