// What takes a sum's messages to its other members.

#pragma once

#include "libcommon/reduce/reduce_plan.h"
#include "libcommon/wire/message.h"

namespace ptrain::lanes {

class Carrier {
 public:
  virtual ~Carrier() = default;
  // Queues it behind what was given for that member before; neither blocks nor throws. False when
  // nothing can be taken to that member any more, or too much waits for it. Any thread.
  virtual bool send(reduce::MemberIndex to, wire::Message message) = 0;
};

}  // namespace ptrain::lanes
