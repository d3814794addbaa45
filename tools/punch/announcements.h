// What gateways tell everybody on their net when they begin anew or have another outside address
// (RFC 6886, 3.2.1; RFC 6887, 14.1): a hint to ask them, no more, since anybody may send such a
// packet. Where the port cannot be had there are none, and the regular look finds out later.
//
// One thread, the loop's; the loop outlives the object.

#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "libcommon/net/address_reach.h"
#include "libcommon/os/file_descriptor.h"
#include "libcommon/os/loop.h"

namespace ptrain::punch {

// Whether the packet is one. Pure.
bool is_announcement(std::span<const std::uint8_t> packet);

class Announcements {
 public:
  enum class Family { v4, v6 };
  using Heard = std::function<void(const net::AddressBytes& from)>;
  Announcements(os::Loop& loop, Family family, Heard heard);

 private:
  void read();

  os::FileDescriptor socket_;
  Heard heard_;
  std::unique_ptr<os::Loop::Watch> watch_;
};

}  // namespace ptrain::punch
