// What stages tell each other of their job and data when they meet, so that two that do not belong
// together can say in which keys, and in which shards (net/introduction.h). Pure, but for the data.

#pragma once

#include <string>
#include <string_view>

#include "libcommon/job/job.h"
#include "libcommon/job/layout.h"
#include "tools/stage/engine/job_data.h"

namespace ptrain::stage {

// Of what all processes of a run must share: the job, and where it has lanes who holds which cells.
std::string hash_of(const job::Job& job, const job::Layout& layout);

// JSON. `data` is null where a stage has no data; of very many shards nothing is said.
std::string terms_of(const job::Job& job, const job::Layout& layout, const JobData* data);

// "optim.lr: 0.001 here, 0.0015 there; data.train: 3 shards here, 2 there": every difference, data
// only where both have some. Empty where the terms show none, or theirs are not to be read.
std::string explain_terms(std::string_view ours, std::string_view theirs);

}  // namespace ptrain::stage
