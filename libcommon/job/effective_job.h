// A job as it is used, every key with its value, whether the file says it or not. Pure.

#pragma once

#include <string>

#include "libcommon/job/job.h"

namespace ptrain::job {

// A job file: read again, it is the same job. model.config is no part of it, what it said is.
std::string effective_toml(const Job& job);

// {"job":{"TABLE.KEY":VALUE,...},"job_hash":"...","resume_hash":"..."}, in one line.
std::string effective_json(const Job& job);

}  // namespace ptrain::job
