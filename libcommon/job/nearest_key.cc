#include "libcommon/job/nearest_key.h"

#include <algorithm>
#include <numeric>
#include <vector>

namespace ptrain::job {
namespace {

std::string_view leaf(std::string_view name) { return name.substr(name.rfind('.') + 1); }

// Insertions, deletions and replacements that lead from one to the other (Levenshtein).
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, diagonal + 1, row[j] + 1});
    }
  }
  return row.back();
}

}  // namespace

const JobKey* nearest_job_key(std::string_view name) {
  constexpr std::size_t kLongestKey = 64;
  if (name.size() > kLongestKey) return nullptr;
  for (const JobKey& key : job_keys()) {  // right, but in another table
    if (leaf(key.name) == leaf(name)) return &key;
  }
  const JobKey* nearest = nullptr;
  std::size_t least = name.size() / 4 + 1;  // more than this is not a slip of the pen
  for (const JobKey& key : job_keys()) {
    const std::size_t distance = edit_distance(name, key.name);
    if (distance < least) {
      least = distance;
      nearest = &key;
    }
  }
  return nearest;
}

}  // namespace ptrain::job
