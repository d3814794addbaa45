// Where all stages can go on from: what the driver makes of their offers. Pure.

#pragma once

#include <map>

#include "libcommon/base/units.h"
#include "libcommon/wire/training.h"

namespace ptrain::stage {

// The newest checkpoint, or step of which all hold their shares, that is in all offers; an empty id
// where nobody has any. Throws Error(usage) where they have some and none in common, or where one
// was `named` and not all have it.
wire::ResumeChoice best_of(const std::map<StageIndex, wire::ResumeOffer>& offers,
                           const wire::ResumeOffer& ours, bool named);

}  // namespace ptrain::stage
