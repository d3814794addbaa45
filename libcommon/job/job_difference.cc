#include "libcommon/job/job_difference.h"

#include <algorithm>
#include <iterator>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "libcommon/base/error.h"
#include "libcommon/base/strict_json.h"
#include "libcommon/job/job_keys.h"
#include "libcommon/job/value_rules.h"

namespace ptrain::job {
namespace {

using nlohmann::json;

json object_of(std::string_view text) {
  try {
    return parse_strict_json(text, "a job");
  } catch (const Error&) {
    return json::object();
  }
}

std::string shown_in(const json& object, const std::string& key) {
  return object.contains(key) ? shown(object[key]) : "not set";
}

// The keys of both, each once.
std::vector<std::string> keys_of(const json& ours, const json& other) {
  std::vector<std::string> keys;
  for (const JobKey& key : job_keys()) {
    if (ours.contains(key.name) || other.contains(key.name)) keys.push_back(key.name);
  }
  json all = ours;
  all.update(other);
  for (const auto& entry : all.items()) {
    if (find_job_key(entry.key()) == nullptr) keys.push_back(entry.key());
  }
  return keys;
}

std::vector<KeyDifference> differences_of_scope(const Job& job, std::string_view saved,
                                                KeyScope scope) {
  std::vector<KeyDifference> differences;
  if (object_of(saved).empty()) return differences;  // not of a job
  for (KeyDifference& each : job_differences(canonical_json(job), saved)) {
    const JobKey* known = find_job_key(each.key);
    if (known != nullptr && known->scope == scope) differences.push_back(std::move(each));
  }
  return differences;
}

template <class Words>
std::string joined(const std::vector<KeyDifference>& differences, Words words) {
  std::string text;
  for (std::size_t i = 0; i < std::min(differences.size(), kMostKeysNamed); ++i) {
    if (i > 0) text += "; ";
    text += words(differences[i]);
  }
  if (differences.size() > kMostKeysNamed) {
    text += fmt::format("; and {} more", differences.size() - kMostKeysNamed);
  }
  return text;
}

}  // namespace

std::vector<KeyDifference> job_differences(std::string_view ours, std::string_view other) {
  const json one = object_of(ours);
  const json two = object_of(other);
  std::vector<KeyDifference> differences;
  for (const std::string& key : keys_of(one, two)) {
    if (one.contains(key) && two.contains(key) && one[key] == two[key]) continue;
    differences.push_back({shown_text(key), shown_in(one, key), shown_in(two, key)});
  }
  return differences;
}

std::vector<KeyDifference> lineage_differences(const Job& job, std::string_view saved) {
  return differences_of_scope(job, saved, KeyScope::lineage);
}

std::vector<KeyDifference> run_differences(const Job& job, std::string_view saved) {
  return differences_of_scope(job, saved, KeyScope::run);
}

std::string here_and(std::string_view there, const std::vector<KeyDifference>& differences) {
  return joined(differences, [there](const KeyDifference& each) {
    return fmt::format("{}: {} here, {} {}", each.key, each.ours, each.other, there);
  });
}

std::string changes(const std::vector<KeyDifference>& differences) {
  return joined(differences, [](const KeyDifference& each) {
    return fmt::format("{}: {} -> {}", each.key, each.other, each.ours);
  });
}

}  // namespace ptrain::job
