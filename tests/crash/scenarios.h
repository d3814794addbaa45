// The operations on checkpoints that must survive a crash at every moment, and a failure of
// every call to the disk. Another operation joins by another entry in its table.

#pragma once

#include <vector>

#include "tests/crash/exploration.h"

namespace ptrain::crash {

std::vector<Scenario> save_scenarios();
std::vector<Scenario> removal_scenarios();
std::vector<Scenario> tool_scenarios();  // what ptrain-ckpt does here: seal, merge, reshard, gc
std::vector<Scenario> hugging_face_scenarios();
std::vector<Scenario> fetch_scenarios();  // what a fetch does with the chunks that come

}  // namespace ptrain::crash
