// The one exception of the project. It says what was attempted and with which
// values, what a person can do about it, and, through its kind, whether trying
// again can help and with which code a program ends (see cli/exit_code.h).
//
// Expected outcomes are values (std::optional, bool); Error is for broken
// expectations. Library code throws it and never prints or exits.

#pragma once

#include <stdexcept>
#include <string>

namespace ptrain {

enum class ErrorKind {
  usage,        // a flag, a job file or an argument is wrong
  corrupt,      // data that should be valid is not
  unavailable,  // a peer or relay cannot be reached, or went away
  io,           // the operating system refused a read, a write, a bind
  try_again,    // it may work later, unchanged
  permission,   // a key or a file's mode was refused
  internal,     // a defect of ptrain itself
};

class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& what, std::string hint = "")
      : std::runtime_error(what), kind_(kind), hint_(std::move(hint)) {}

  ErrorKind kind() const { return kind_; }
  // What to do about it, in one sentence; empty where there is no remedy.
  const std::string& hint() const { return hint_; }

 private:
  ErrorKind kind_;
  std::string hint_;
};

// An Error of kind io that ends in errno's text: "open x.bin: No such file or directory".
Error io_error(const std::string& attempt, int error_number, std::string hint = "");

}  // namespace ptrain
