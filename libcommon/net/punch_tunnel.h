// A connection that was punched, made usable for libzmq: a thread of its own splices its bytes to a
// socket of this host (local_splice.h), and ends soon after the object does. All functions from one
// thread.

#pragma once

#include <memory>
#include <string>

#include "libcommon/net/carried_bytes.h"
#include "libcommon/net/local_splice.h"
#include "libcommon/os/file_descriptor.h"

namespace ptrain::net {

class PunchTunnel {
 public:
  enum class State {
    waiting,
    joined,  // libzmq may come, or has been reached
    ended,   // see why(), where it failed
  };

  // `remote` is connected and non-blocking. Throws Error(io), or std::system_error where there is
  // no thread to be had.
  PunchTunnel(os::FileDescriptor remote, LocalEnd local_end, std::string local_name,
              std::shared_ptr<CarriedBytes> carried);
  ~PunchTunnel();
  PunchTunnel(const PunchTunnel&) = delete;
  PunchTunnel& operator=(const PunchTunnel&) = delete;

  int changed_fd() const;  // becomes readable when the state changes
  State state();           // takes note of the change
  std::string why() const;

 private:
  class Work;
  std::shared_ptr<Work> work_;
};

}  // namespace ptrain::net
