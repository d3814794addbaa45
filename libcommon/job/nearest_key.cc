#include "libcommon/job/nearest_key.h"

#include <string>
#include <vector>

#include "libcommon/base/nearest_word.h"

namespace ptrain::job {
namespace {

std::string_view leaf(std::string_view name) { return name.substr(name.rfind('.') + 1); }

}  // namespace

const JobKey* nearest_job_key(std::string_view name) {
  for (const JobKey& key : job_keys()) {  // right, but in another table
    if (leaf(key.name) == leaf(name)) return &key;
  }
  std::vector<std::string> names;
  for (const JobKey& key : job_keys()) names.push_back(key.name);
  const auto nearest = nearest_word(name, names, name.size() / 4);
  return nearest ? find_job_key(*nearest) : nullptr;
}

}  // namespace ptrain::job
