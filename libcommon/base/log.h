// What a program says to people while it runs: one line each, on stderr, with
// the program's name before it. Results go to stdout and errors are thrown;
// neither comes through here. Safe to call from any thread.

#pragma once

#include <string>
#include <string_view>

namespace ptrain {

class Log {
 public:
  virtual ~Log() = default;
  virtual void info(std::string_view line) = 0;
  virtual void warning(std::string_view line) = 0;
};

class NullLog final : public Log {
 public:
  void info(std::string_view) override {}
  void warning(std::string_view) override {}
};

// "NAME: LINE" on stderr, unless --quiet (quiet.h); "NAME: warning: LINE" for warnings.
class StderrLog final : public Log {
 public:
  explicit StderrLog(std::string program) : program_(std::move(program)) {}
  void info(std::string_view line) override;
  void warning(std::string_view line) override;

 private:
  std::string program_;
};

}  // namespace ptrain
