// SIGINT and SIGTERM as a question that a loop can ask: has someone told us to stop?
//
// Installing says so on stderr at the first signal; the second leaves at once
// with 128 + its number. One object per process, made by main before threads
// start. requested() may be called from any thread.

#pragma once

namespace ptrain::os {

class StopSignal {
 public:
  // `program` is the name in "NAME: SIGTERM: stopping (again to leave now)"; it
  // must outlive the object (a string literal).
  explicit StopSignal(const char* program);
  ~StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  bool requested() const { return signal_number() != 0; }
  // The first signal that came, or 0. A program that ends because of it ends with 128 + this.
  int signal_number() const;
};

}  // namespace ptrain::os
