// Which checkpoint a person means, of those that holders have. Pure.

#pragma once

#include <string_view>
#include <variant>
#include <vector>

#include "libcommon/base/error.h"
#include "libcommon/ckpt/manifest.h"
#include "libcommon/job/model_config.h"
#include "libcommon/transfer/protocol.h"

namespace ptrain::transfer {

// Which of a checkpoint's files are wanted.
struct WholeCheckpoint {};
using Share = std::variant<WholeCheckpoint, StageIndex, job::StageSpan>;  // a span: what overlaps

// Everything that anyone has, an entry for each checkpoint, newest first. Where holders say of one
// id that it is of another step, or of another number of stages, these are entries of their own.
Listing merged(const std::vector<Listing>& listings);

// `which`: latest (the newest step of which the holders have the share between them), a step,
// or at least 8 digits of an id. All that fit, which is more than one when holders disagree, or
// lie: who asks looks at their manifests. A span is asked of the manifest, not here.
Listing fitting(const std::vector<Listing>& listings, std::string_view which, const Share& share);

// Throws Error(unavailable) when the holders have not all of that share between them.
void check_held(const Entry& entry, const Share& share);
// The remedy of several that fit, all of them real.
Error ambiguous(const Listing& fitting, std::string_view which);

// The stages whose files are wanted, ascending. Throws Error(usage) for a stage that the
// checkpoint does not have.
std::vector<StageIndex> wanted_stages(const ckpt::Manifest& manifest, const Share& share);

}  // namespace ptrain::transfer
