// Reads a job file (TOML, ptrain-job(5)) into a checked Job.
//
// Every refusal is an Error(usage) that starts with FILE:LINE:COLUMN, or with
// "--set KEY=VALUE" for an override, and names the key, the value and what is
// allowed. The keys, their types, defaults and limits are job_keys.h's table;
// what two keys must fulfil together is job_checks.h's.

#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "libcommon/job/job.h"

namespace ptrain::job {

inline constexpr std::size_t kJobFileMaxBytes = 1 << 20;
inline constexpr std::size_t kModelConfigFileMaxBytes = 1 << 20;

// What was done to a job on its reader's behalf, for people: a line each.
using Remarks = std::vector<std::string>;

// An override is "key=value"; the value is TOML, or, where it is not, a string as it
// stands. It replaces what the file says, and later ones replace earlier ones.
//
// The globs of [data] and the paths of data.tokenizer and checkpoint.dir stay as they are
// written: relative to the current directory, as in a shell. model.config is read here,
// relative to the job file (in an override: to the current directory).
//
// A train.steps that an override sets below the warm-up of the file shortens the warm-up to its
// share of the run, with a remark. A warm-up that an override sets, or a file that contradicts
// itself, is refused.
Job load_job(const std::filesystem::path& file, const std::vector<std::string>& overrides = {},
             Remarks* remarks = nullptr);

// The same for a text already read; `source_name` is what errors call it, and model.config
// is relative to its folder.
Job parse_job(std::string_view toml, std::string_view source_name,
              const std::vector<std::string>& overrides = {}, Remarks* remarks = nullptr);

}  // namespace ptrain::job
