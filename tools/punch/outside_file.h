// The file that says where ports of this host are reached from outside, for who announces them
// (PTRAIN_OUTSIDE_FILE; ptrain-punch(1), OUTSIDE FILE): a line for each, "tcp 7100
// tcp://198.51.100.7:7100". It is there whole, or as it was before.

#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "libcommon/os/storage.h"
#include "libcommon/portmap/mapped_port.h"

namespace ptrain::punch {

inline constexpr const char* kOutsideFileVariable = "PTRAIN_OUTSIDE_FILE";

struct OutsideLine {
  Port port;
  Outside outside;
  bool operator==(const OutsideLine&) const = default;
};
std::string outside_text(const std::vector<OutsideLine>& lines);

class OutsideFile {
 public:
  // The file that the environment names, or else a temporary one, which goes with the object; the
  // environment names it then. Throws Error(io). `storage` outlives the object.
  explicit OutsideFile(os::Storage& storage);
  ~OutsideFile();
  OutsideFile(const OutsideFile&) = delete;
  OutsideFile& operator=(const OutsideFile&) = delete;

  // Throws Error(io).
  void write(const std::vector<OutsideLine>& lines);
  const std::filesystem::path& path() const { return path_; }

 private:
  os::Storage& storage_;
  std::filesystem::path temporary_folder_;  // empty: the file is somebody's
  std::filesystem::path path_;
};

}  // namespace ptrain::punch
