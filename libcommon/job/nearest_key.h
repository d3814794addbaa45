// A guess at the key that someone meant who wrote one that does not exist. Pure.

#pragma once

#include <string_view>

#include "libcommon/job/job_keys.h"

namespace ptrain::job {

// The known key with the same name in another table, else the one that a few slips of the
// pen turn into `name`, else none.
const JobKey* nearest_job_key(std::string_view name);

}  // namespace ptrain::job
