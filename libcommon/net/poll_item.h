// A descriptor that somebody wants to be woken for when it can be read. A value.
//
// That of a library's socket tells once that something has happened inside, and not that something
// waits to be read: such a socket is asked, after each look and after whatever was sent.

#pragma once

namespace ptrain::net {

struct PollItem {
  int fd = -1;
  void* socket = nullptr;  // a library's, or none
  bool (*more_waits)(void* socket) = nullptr;

  bool operator==(const PollItem&) const = default;
};

}  // namespace ptrain::net
