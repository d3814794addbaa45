#include "tools/ckpt/quantity.h"

#include <algorithm>
#include <array>
#include <charconv>

#include <fmt/format.h>

#include "libcommon/ckpt/store.h"

namespace ptrain::ckpt_tool {

static_assert(kShownIdDigits >= ckpt::CheckpointStore::kMinIdPrefix);

std::string size_text(ByteCount bytes) {
  constexpr std::array kUnits{"kB", "MB", "GB", "TB", "PB", "EB"};
  if (bytes.value() < 1000) return fmt::format("{} B", bytes.value());
  double value = static_cast<double>(bytes.value()) / 1000;
  std::size_t unit = 0;
  // 999.95 would be printed as 1000.0.
  while (value >= 999.95 && unit + 1 < kUnits.size()) value /= 1000, ++unit;
  return fmt::format("{:.1f} {}", value, kUnits[unit]);
}

std::optional<ByteCount> parse_size(std::string_view text) {
  struct Unit {
    std::string_view name;
    std::uint64_t bytes;
  };
  constexpr std::array kUnits{Unit{"", 1},
                              Unit{"b", 1},
                              Unit{"kb", 1'000},
                              Unit{"mb", 1'000'000},
                              Unit{"gb", 1'000'000'000},
                              Unit{"tb", 1'000'000'000'000},
                              Unit{"kib", 1ull << 10},
                              Unit{"mib", 1ull << 20},
                              Unit{"gib", 1ull << 30},
                              Unit{"tib", 1ull << 40}};
  std::uint64_t number = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  if (parsed.ec != std::errc()) return std::nullopt;
  std::string name(parsed.ptr, text.data() + text.size());
  std::ranges::transform(name, name.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  const auto unit = std::ranges::find(kUnits, name, &Unit::name);
  std::uint64_t bytes = 0;
  if (unit == kUnits.end() || __builtin_mul_overflow(number, unit->bytes, &bytes)) {
    return std::nullopt;
  }
  return ByteCount(bytes);
}

std::string age_text(std::chrono::system_clock::duration age) {
  const auto s =
      std::max<std::int64_t>(0, std::chrono::duration_cast<std::chrono::seconds>(age).count());
  if (s < 2 * 60) return fmt::format("{} s", s);
  if (s < 2 * 3600) return fmt::format("{} min", s / 60);
  if (s < 2 * 86400) return fmt::format("{} h", s / 3600);
  return fmt::format("{} days", s / 86400);
}

std::string short_id(const ckpt::CheckpointId& id) { return id.hex().substr(0, kShownIdDigits); }

}  // namespace ptrain::ckpt_tool
