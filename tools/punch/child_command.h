// A command that we run, and end with: the rest of our own command line.
//
// It has our standard input and outputs, and gets SIGTERM where we are killed. Whoever makes it
// hears of its end by SIGCHLD. One thread.

#pragma once

#include <csignal>
#include <optional>
#include <string>
#include <vector>

#include <sys/types.h>

namespace ptrain::punch {

class ChildCommand {
 public:
  // Begins it, with these signals blocked and no other. Throws Error(usage) where there is no such
  // command, Error(io) where it cannot be begun.
  ChildCommand(const std::vector<std::string>& words, const sigset_t& mask);
  ChildCommand(const ChildCommand&) = delete;
  ChildCommand& operator=(const ChildCommand&) = delete;

  void send(int signal) const;
  // Its exit code once it has ended, as a shell counts it: 128 and the signal where one ended it.
  std::optional<int> ended();

 private:
  pid_t pid_ = -1;
  std::optional<int> code_;
};

}  // namespace ptrain::punch
