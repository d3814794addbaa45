// The exit codes of every ptrain program, in one place (ptrain(7), EXIT STATUS).

#pragma once

#include "libcommon/base/error.h"

namespace ptrain::cli {

inline constexpr int kDone = 0;
inline constexpr int kNegative = 1;  // a negative answer: differs, not found
inline constexpr int kUsage = 2;
inline constexpr int kCorrupt = 65;      // EX_DATAERR
inline constexpr int kUnavailable = 69;  // EX_UNAVAILABLE
inline constexpr int kInternal = 70;     // EX_SOFTWARE
inline constexpr int kIo = 74;           // EX_IOERR
inline constexpr int kTryAgain = 75;     // EX_TEMPFAIL
inline constexpr int kPermission = 77;   // EX_NOPERM
// What a shell says of a program that SIGPIPE has ended; ours end of themselves (output.h).
inline constexpr int kOutputClosed = 141;

int exit_code(ErrorKind kind);

}  // namespace ptrain::cli
