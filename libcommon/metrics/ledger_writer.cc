#include "libcommon/metrics/ledger_writer.h"

#include <cerrno>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libcommon/base/error.h"
#include "libcommon/os/file_descriptor.h"

namespace ptrain::metrics {
namespace {

os::FileDescriptor open_ledger(const std::filesystem::path& path) {
  os::FileDescriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  if (!file.valid()) throw io_error("open the ledger " + path.string(), errno);
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) throw io_error("stat " + path.string(), errno);
  if (!S_ISREG(status.st_mode)) {
    throw Error(ErrorKind::io, "open the ledger " + path.string() + ": not a regular file");
  }
  char last = '\n';
  if (status.st_size > 0 && ::pread(file.get(), &last, 1, status.st_size - 1) != 1) {
    throw io_error("read the end of " + path.string(), errno);
  }
  if (last != '\n' && ::write(file.get(), "\n", 1) != 1) {
    throw io_error("end the last line of " + path.string(), errno);
  }
  return file;
}

}  // namespace

LedgerWriter::LedgerWriter(const std::filesystem::path& path, const LedgerBegin& begin, Log& log)
    : sink_(open_ledger(path), "the ledger " + path.string(), log) {
  write(begin);
}

}  // namespace ptrain::metrics
