#include "tools/punch/child_command.h"

#include <cerrno>

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libcommon/base/error.h"
#include "libcommon/os/file_descriptor.h"

namespace ptrain::punch {
namespace {

// Between fork and exec: nothing here may allocate, since another thread may have held the heap.
[[noreturn]] void become(char* const* words, const sigset_t& mask, pid_t parent, int failed) {
  // What os::start_process() ignores is our own business.
  for (const int number : {SIGPIPE, SIGXFSZ, SIGTTOU}) ::signal(number, SIG_DFL);
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != parent) ::_exit(128 + SIGTERM);  // it was too late to be told
  ::sigprocmask(SIG_SETMASK, &mask, nullptr);
  ::execvp(words[0], words);
  const int error = errno;
  const auto ignored = ::write(failed, &error, sizeof error);
  static_cast<void>(ignored);
  ::_exit(127);
}

}  // namespace

ChildCommand::ChildCommand(const std::vector<std::string>& words, const sigset_t& mask) {
  std::vector<char*> arguments;
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw io_error("start " + words[0], errno);
  const os::FileDescriptor outcome(ends[0]);
  os::FileDescriptor failed(ends[1]);
  const pid_t parent = ::getpid();
  pid_ = ::fork();
  if (pid_ < 0) throw io_error("start " + words[0], errno);
  if (pid_ == 0) become(arguments.data(), mask, parent, failed.get());
  failed.reset();
  int error = 0;
  ssize_t got = 0;
  do {
    got = ::read(outcome.get(), &error, sizeof error);
  } while (got < 0 && errno == EINTR);
  if (got != static_cast<ssize_t>(sizeof error)) return;  // it has begun
  ::waitpid(pid_, nullptr, 0);
  if (error == ENOENT) {
    throw Error(ErrorKind::usage, words[0] + ": no such command",
                "what stands behind -- is a command with its arguments");
  }
  throw io_error("start " + words[0], error);
}

void ChildCommand::send(int signal) const {
  if (!code_) ::kill(pid_, signal);
}

std::optional<int> ChildCommand::ended() {
  int status = 0;
  if (!code_ && ::waitpid(pid_, &status, WNOHANG) == pid_) {
    code_ = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  }
  return code_;
}

}  // namespace ptrain::punch
