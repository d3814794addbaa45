// Which checkpoint a person means, of those that holders have. Pure.

#pragma once

#include <optional>
#include <string_view>
#include <variant>
#include <vector>

#include "libcommon/ckpt/manifest.h"
#include "libcommon/job/model_config.h"
#include "libcommon/transfer/protocol.h"

namespace ptrain::transfer {

// Which of a checkpoint's files are wanted.
struct WholeCheckpoint {};
using Share = std::variant<WholeCheckpoint, StageIndex, job::StageSpan>;  // a span: what overlaps

// Everything that anyone has, an entry for each checkpoint, newest first.
Listing merged(const std::vector<Listing>& listings);

// `which`: latest (the newest one of which the holders have the share between them), a step,
// or at least 8 digits of an id. nullopt where there is none. Throws Error(usage) when several
// fit, Error(unavailable) when the one that fits lacks files. A span is asked of the
// manifest, not here.
std::optional<Entry> choose(const std::vector<Listing>& listings, std::string_view which,
                            const Share& share);

// The stages whose files are wanted, ascending. Throws Error(usage) for a stage that the
// checkpoint does not have.
std::vector<StageIndex> wanted_stages(const ckpt::Manifest& manifest, const Share& share);

}  // namespace ptrain::transfer
