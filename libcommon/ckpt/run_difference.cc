#include "libcommon/ckpt/run_difference.h"

#include <algorithm>

#include "libcommon/base/in_quotes.h"
#include "libcommon/ckpt/record_json.h"

namespace ptrain::ckpt {
namespace {

using nlohmann::json;

std::string shown(const json& object, const std::string& key) {
  if (!object.contains(key)) return "nothing";
  const json& value = object[key];
  if (value.is_string()) return in_quotes(value.get_ref<const std::string&>());
  const std::string text = value.dump(-1, ' ', /*ensure_ascii=*/true);
  return text.size() > kMaxQuotedBytes ? text.substr(0, kMaxQuotedBytes) + "..." : text;
}

std::optional<FieldDifference> difference(const json& left, const json& right,
                                          const std::string& prefix) {
  json keys = left;
  keys.update(right);
  for (const auto& [key, unused] : keys.items()) {
    if (left.contains(key) && right.contains(key)) {
      const json& one = left[key];
      const json& other = right[key];
      if (one == other) continue;
      if (one.is_object() && other.is_object()) return difference(one, other, prefix + key + ".");
    }
    return FieldDifference{prefix + key, shown(left, key), shown(right, key)};
  }
  return std::nullopt;
}

// The job is JSON inside JSON. What is not, stays text.
json readable(const RunState& run) {
  json value = to_json(run);
  json job = json::parse(run.job, nullptr, /*allow_exceptions=*/false);
  if (job.is_object()) value["job"] = std::move(job);
  return value;
}

}  // namespace

std::optional<FieldDifference> first_difference(const RunState& left, const RunState& right) {
  if (left == right) return std::nullopt;
  if (auto found = difference(readable(left), readable(right), "")) return found;
  // Jobs that mean the same in other bytes.
  return FieldDifference{"job", in_quotes(left.job), in_quotes(right.job)};
}

}  // namespace ptrain::ckpt
