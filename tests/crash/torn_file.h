// What a file may hold after a crash, when not all that was written to it had been
// synced. Pure.
//
// POSIX promises nothing for data that fsync has not covered, and file systems differ:
// ext4 with delayed allocation leaves a new file empty or short, XFS leaves zeros where
// the size became durable before the data, and an overwritten block is written back
// whenever the kernel likes. So every sector holds, independently of the others, what
// it held before or what was written to it, and the length is one of those that the
// file had. A sector itself is written whole, which is what disks do promise.

#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <random>
#include <span>
#include <variant>
#include <vector>

namespace ptrain::crash {

inline constexpr std::size_t kSectorBytes = 512;
// Up to so many changed sectors each one is tried, alone and as the only one missing;
// of more, a sample of this size.
inline constexpr std::size_t kSectorsTried = 4;
inline constexpr std::size_t kRandomSubsets = 3;  // of the sectors
inline constexpr std::size_t kPrefixesTried = 8;  // of the writes, in order

struct FileBytes {
  explicit FileBytes(std::vector<std::byte> contents);
  std::vector<std::byte> bytes;
  std::uint64_t fingerprint;  // equal for equal bytes
};
using Contents = std::shared_ptr<const FileBytes>;
Contents contents_of(std::vector<std::byte> bytes);

struct Write {
  std::uint64_t offset = 0;
  std::vector<std::byte> bytes;
};
struct Resize {
  std::uint64_t size = 0;
};
using FileChange = std::variant<Write, Resize>;

Contents apply_change(const Contents& before, const FileChange& change);

// Distinct. The first is `durable`, the last what the file holds while the machine runs.
std::vector<Contents> torn_states(const Contents& durable, std::span<const FileChange> unsynced,
                                  std::mt19937_64& random);

}  // namespace ptrain::crash
