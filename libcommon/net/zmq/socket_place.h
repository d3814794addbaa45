// The place of a Unix socket, before it is bound. libzmq removes whatever it finds at the path:
// an ordinary file would be gone, and a second listener would silently take the place of one
// that lives.
//
// Between this look and the bind another process may still come: nothing on Unix is atomic there.

#pragma once

#include <string>

namespace ptrain::net {

// Passes where nothing is at `path`, or a socket that nobody listens to any more, which the bind
// then replaces; and for a name that begins with @, which is none of the file system. Else
// Error(io) that says what is there.
void check_socket_place(const std::string& path);

}  // namespace ptrain::net
