// What this process does on signals is what it was started with, whatever its libraries think.
//
// Some that libtorch brings (UCX, where MPI uses it) take signals over when they are loaded, before
// main: they would end a run that nohup(1) shields from SIGHUP, and print a stack where a crash
// should be a crash.

#pragma once

namespace ptrain::stage {

// First thing in main.
void undo_what_libraries_did_to_signals();

}  // namespace ptrain::stage
