// What holds in every ptrain process from its first moment on, whatever it was started with.
//
// - Descriptors 0, 1 and 2 are open. Where one was closed, the next file that the program opens
//   would take its number, and errors, or results, would be written into that file. What stands
//   in for it refuses to be used, so that a result that cannot be written is an error.
// - A pipe whose reader has gone, a file at its size limit and a terminal that lets no background
//   process write (stty tostop) are errors of the write that meets them, or none, and end nothing
//   else: SIGPIPE, SIGXFSZ and SIGTTOU are ignored.

#pragma once

namespace ptrain::os {

// Called by main before anything is opened and before there are threads.
void start_process();

}  // namespace ptrain::os
