// How many descriptors this process may have: as many as the system lets it. A relay has one for
// each connection and more for each stream, and the usual 1024 would be its tightest limit.

#pragma once

namespace ptrain::relay {

// Before threads start. Does nothing when the system refuses.
void raise_descriptor_limit();

}  // namespace ptrain::relay
