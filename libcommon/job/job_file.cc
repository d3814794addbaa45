#include "libcommon/job/job_file.h"

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <map>
#include <optional>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>
#include <toml++/toml.h>

#include "libcommon/base/error.h"
#include "libcommon/base/strict_json.h"
#include "libcommon/job/hf_config.h"
#include "libcommon/job/job_checks.h"
#include "libcommon/job/job_keys.h"
#include "libcommon/job/nearest_key.h"

namespace ptrain::job {
namespace {

using nlohmann::json;

constexpr std::string_view kModelTable = "model.";
constexpr const char* kModelConfigKey = "model.config";
constexpr const char* kPage = "ptrain-job(5) describes every key";

// One key's value and where it was given.
struct Setting {
  json value;
  std::string at;                // "job.toml:3:7: optim.lr = -1", "--set optim.lr=-1"
  std::filesystem::path folder;  // that a path is relative to
  bool overridden = false;
  json of_file{};  // what an override replaces; null where the file has no such key
};

using Settings = std::map<std::string, Setting>;

[[noreturn]] void refuse(const std::string& at, const std::string& problem,
                         const std::string& hint = "") {
  throw Error(ErrorKind::usage, at + ": " + problem, hint);
}

// At most `limit` bytes; anything that can be read will do, a pipe too.
std::string read_text(const std::filesystem::path& path, std::size_t limit) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw io_error("open " + path.string(), errno);
  std::string text(limit + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (file.bad() || (file.fail() && !file.eof())) throw io_error("read " + path.string(), errno);
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (text.size() > limit) {
    throw Error(ErrorKind::usage, fmt::format("{}: longer than {} bytes", path.string(), limit),
                "is it the right file?");
  }
  return text;
}

// Dates and times have no place in a job; as null they are refused by every key.
json to_json(const toml::node& node) {
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* integer = node.as_integer()) return integer->get();
  if (const auto* number = node.as_floating_point()) return number->get();
  if (const auto* boolean = node.as_boolean()) return boolean->get();
  if (const auto* array = node.as_array()) {
    json list = json::array();
    for (const toml::node& item : *array) list.push_back(to_json(item));
    return list;
  }
  if (const auto* table = node.as_table()) {
    json object = json::object();
    for (const auto& [key, value] : *table) object[std::string(key.str())] = to_json(value);
    return object;
  }
  return nullptr;
}

std::string position(std::string_view source_name, const toml::source_region& region) {
  return fmt::format("{}:{}:{}", source_name, region.begin.line, region.begin.column);
}

std::string suggestion(const std::string& name) {
  if (const JobKey* nearest = nearest_job_key(name)) {
    return fmt::format("did you mean {}? {}", nearest->name, kPage);
  }
  const std::string table = name.substr(0, name.find('.') + 1);
  std::vector<std::string> names;
  for (const JobKey& key : job_keys()) {
    if (!table.empty() && key.name.starts_with(table)) names.push_back(key.name);
  }
  if (!names.empty()) return fmt::format("the keys there are {}", fmt::join(names, ", "));
  return fmt::format("the tables are {}", fmt::join(job_tables(), ", "));
}

Settings settings_of(std::string_view text, std::string_view source_name) {
  toml::table root;
  try {
    root = toml::parse(text, source_name);
  } catch (const toml::parse_error& error) {
    refuse(position(source_name, error.source()), std::string(error.description()),
           "a job file is TOML; in it, text stands in quotes");
  }
  const std::filesystem::path folder = std::filesystem::path(source_name).parent_path();
  const std::vector<std::string> tables = job_tables();
  Settings settings;
  for (const auto& [table_key, table_node] : root) {
    const std::string table_name = shown_text(table_key.str());
    const std::string table_at = position(source_name, table_key.source());
    if (std::find(tables.begin(), tables.end(), table_name) == tables.end()) {
      refuse(table_at, fmt::format("unknown key {}", table_name), suggestion(table_name));
    }
    const toml::table* table = table_node.as_table();
    if (table == nullptr) {
      refuse(table_at, fmt::format("{} is a table: expected keys in it", table_name),
             fmt::format("write [{}] on a line of its own", table_name));
    }
    for (const auto& [key, node] : *table) {
      const std::string name = table_name + "." + shown_text(key.str());
      if (find_job_key(name) == nullptr) {
        refuse(position(source_name, key.source()), "unknown key " + name, suggestion(name));
      }
      const json value = to_json(node);
      settings[name] = {.value = value,
                        .at = fmt::format("{}: {} = {}", position(source_name, node.source()), name,
                                          shown(value)),
                        .folder = folder};
    }
  }
  return settings;
}

// A value of TOML, or else the text itself.
json override_value(const std::string& text) {
  try {
    const toml::table table = toml::parse("value = " + text);
    // More than one key would be a text with lines of its own.
    if (table.size() == 1 && table.contains("value")) return to_json(*table.get("value"));
  } catch (const toml::parse_error&) {
  }
  return text;
}

std::string trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return "";
  return std::string(text.substr(first, text.find_last_not_of(" \t") - first + 1));
}

void apply_override(Settings& settings, const std::string& text) {
  const std::string at = "--set " + shown_text(text);
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos) refuse(at, "expected KEY=VALUE", "as in --set optim.lr=1e-3");
  const std::string name = trimmed(std::string_view(text).substr(0, equals));
  if (find_job_key(name) == nullptr) {
    refuse(at, "unknown key " + shown_text(name), suggestion(shown_text(name)));
  }
  Setting& setting = settings[name];
  setting = {.value = override_value(trimmed(std::string_view(text).substr(equals + 1))),
             .at = at,
             .folder = "",
             .overridden = true,
             .of_file = setting.overridden ? setting.of_file : setting.value};
}

// The model of config.json, with the job file's own [model] keys in place of the file's: put
// in before it is interpreted, so that what the file leaves open follows from them.
ModelConfig model_of_file(const Setting& setting, const Settings& settings) {
  const std::filesystem::path path = setting.folder / setting.value.get<std::string>();
  std::string text;
  try {
    text = read_text(path, kModelConfigFileMaxBytes);
  } catch (const Error& error) {
    throw Error(error.kind(), setting.at + ": " + error.what(),
                "model.config is relative to the job file");
  }
  json config;
  try {
    config = parse_strict_json(without_preamble(text), path.string());
  } catch (const Error& error) {
    throw Error(ErrorKind::usage, error.what(), "model.config names a Hugging Face config.json");
  }
  config = in_one_spelling(std::move(config), path.string());
  for (const auto& [name, replacement] : settings) {
    if (name != kModelConfigKey && name.starts_with(kModelTable)) {
      config[name.substr(kModelTable.size())] = replacement.value;
    }
  }
  return model_from_hf_json(config, path.string());
}

// A shorter run of a job keeps the shape of its learning rate: the warm-up of the file, which
// nobody overrode, becomes its share of the run.
void shorten_warmup(Job& job, const Settings& settings, Remarks* remarks) {
  const auto steps = settings.find("train.steps");
  const auto warmup = settings.find("optim.warmup_steps");
  const std::uint64_t asked = job.optim.warmup_steps;
  if (steps == settings.end() || !steps->second.overridden) return;
  if (warmup == settings.end() || warmup->second.overridden) return;
  if (asked <= job.train.steps) return;
  const json& of_file = steps->second.of_file;
  const double whole = of_file.is_number_integer() ? of_file.get<double>() : 0.0;
  const double share = whole >= static_cast<double>(asked) ? static_cast<double>(asked) / whole : 1;
  job.optim.warmup_steps = std::max<std::uint64_t>(
      1, static_cast<std::uint64_t>(share * static_cast<double>(job.train.steps)));
  if (remarks == nullptr) return;
  remarks->push_back(fmt::format("{}: the warm-up is shortened to optim.warmup_steps = {}; {}",
                                 steps->second.at, job.optim.warmup_steps, warmup->second.at));
}

void require_all(const Settings& settings, std::string_view source_name) {
  const bool model_given = settings.contains(kModelConfigKey);
  for (const JobKey& key : job_keys()) {
    if (!key.required || settings.contains(key.name)) continue;
    if (model_given && key.name.starts_with(kModelTable)) continue;
    throw Error(ErrorKind::usage, fmt::format("{}: {} is missing", source_name, key.name),
                fmt::format("it is the {} ({}{}{})", key.meaning, key.type,
                            key.allowed.empty() ? "" : ", ", key.allowed));
  }
}

[[noreturn]] void refuse(const Complaint& complaint, const Job& job, const Settings& settings,
                         std::string_view source_name) {
  // The likeliest culprit, of those that someone wrote down.
  for (const std::string& key : complaint.keys) {
    if (const auto found = settings.find(key); found != settings.end()) {
      const bool is_subject = key == complaint.keys.front();
      refuse(found->second.at,
             is_subject ? complaint.problem
                        : fmt::format("{} = {}: {}", complaint.keys.front(),
                                      shown(find_job_key(complaint.keys.front())->read(job)),
                                      complaint.problem),
             complaint.hint);
    }
  }
  refuse(fmt::format("{}: {} = {}", source_name, complaint.keys.front(),
                     shown(find_job_key(complaint.keys.front())->read(job))),
         complaint.problem, complaint.hint);
}

}  // namespace

Job load_job(const std::filesystem::path& file, const std::vector<std::string>& overrides,
             Remarks* remarks) {
  const std::filesystem::path path = file == "-" ? "/dev/stdin" : file;
  return parse_job(read_text(path, kJobFileMaxBytes), path.string(), overrides, remarks);
}

Job parse_job(std::string_view toml, std::string_view source_name,
              const std::vector<std::string>& overrides, Remarks* remarks) {
  Settings settings = settings_of(toml, source_name);
  for (const std::string& text : overrides) apply_override(settings, text);

  Job job;
  for (const JobKey& key : job_keys()) {
    const auto setting = settings.find(key.name);
    if (setting == settings.end()) continue;
    if (const auto problem = key.assign(job, setting->second.value)) {
      refuse(setting->second.at, *problem, kPage);
    }
  }
  require_all(settings, source_name);
  if (const auto config = settings.find(kModelConfigKey); config != settings.end()) {
    job.model = model_of_file(config->second, settings);
  }
  derive(job);
  shorten_warmup(job, settings, remarks);
  if (const auto complaint = check(job)) refuse(*complaint, job, settings, source_name);
  return job;
}

}  // namespace ptrain::job
