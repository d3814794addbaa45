// Which numbers a host computes: a digest of one fixed step in the shapes of the job. Hosts with
// the same digest end a job with the same bits; others (another vector width, another library, a
// GPU, another number of threads) agree with them up to rounding. It takes as long as a microbatch
// does in one layer.

#pragma once

#include <string>

#include <ATen/ATen.h>

#include "libcommon/job/job.h"

namespace ptrain::stage {

// 16 hexadecimal digits. One layer of the job's model between an embedding and a head, of at most
// 4096 of its tokens, from fixed weights and tokens through a forward, a backward and an update.
std::string numerics_class(const job::Job& job, at::Device device);

}  // namespace ptrain::stage
