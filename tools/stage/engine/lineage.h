// Whether a job may go on from a checkpoint, and what it does otherwise than the job that saved it.
// Pure, but for the data that it is told of.

#pragma once

#include <filesystem>
#include <string>

#include "libcommon/ckpt/manifest.h"
#include "libcommon/job/job.h"
#include "tools/stage/engine/job_data.h"

namespace ptrain::stage {

// Throws Error(usage) for a checkpoint of another job, or of the same job on other data, and says
// in what they differ. `data` is null, and `data_fingerprint` empty, where the stage has no data.
void require_lineage(const ckpt::Manifest& manifest, const job::Job& job,
                     const std::filesystem::path& directory, const std::string& data_fingerprint,
                     const JobData* data);

}  // namespace ptrain::stage
