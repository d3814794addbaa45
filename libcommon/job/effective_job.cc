#include "libcommon/job/effective_job.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "libcommon/job/job_keys.h"

namespace ptrain::job {
namespace {

// Text, numbers and lists of them are written alike in JSON and in TOML.
std::string text_of_value(const nlohmann::json& value) {
  return value.dump(-1, ' ', /*ensure_ascii=*/false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

std::string effective_toml(const Job& job) {
  std::string text;
  std::string table;
  for (const JobKey& key : job_keys()) {
    const nlohmann::json value = key.read(job);
    if (value.is_null()) continue;
    const std::size_t dot = key.name.find('.');
    if (key.name.substr(0, dot) != table) {
      table = key.name.substr(0, dot);
      text += fmt::format("{}[{}]\n", text.empty() ? "" : "\n", table);
    }
    text += fmt::format("{} = {}\n", key.name.substr(dot + 1), text_of_value(value));
  }
  return text;
}

std::string effective_json(const Job& job) {
  nlohmann::ordered_json keys = nlohmann::ordered_json::object();
  for (const JobKey& key : job_keys()) {
    if (nlohmann::json value = key.read(job); !value.is_null()) keys[key.name] = std::move(value);
  }
  const nlohmann::ordered_json all{
      {"job", std::move(keys)}, {"job_hash", job_hash(job)}, {"resume_hash", resume_hash(job)}};
  return all.dump(-1, ' ', /*ensure_ascii=*/false, nlohmann::json::error_handler_t::replace);
}

}  // namespace ptrain::job
