#include "tests/crash/torn_file.h"

#include <algorithm>
#include <set>
#include <string_view>

namespace ptrain::crash {
namespace {

using Bytes = std::vector<std::byte>;

// The sector, where `from` has it, as it is there.
void copy_sector(const Bytes& from, Bytes& to, std::size_t sector) {
  const std::size_t begin = sector * kSectorBytes;
  const std::size_t end = std::min({begin + kSectorBytes, from.size(), to.size()});
  if (begin < end) {
    std::copy(from.begin() + static_cast<std::ptrdiff_t>(begin),
              from.begin() + static_cast<std::ptrdiff_t>(end),
              to.begin() + static_cast<std::ptrdiff_t>(begin));
  }
}

std::vector<std::size_t> sectors_that_differ(const Bytes& a, const Bytes& b) {
  std::vector<std::size_t> sectors;
  for (std::size_t begin = 0; begin < a.size(); begin += kSectorBytes) {
    const std::size_t end = std::min(begin + kSectorBytes, a.size());
    const auto from = static_cast<std::ptrdiff_t>(begin);
    if (!std::equal(a.begin() + from, a.begin() + static_cast<std::ptrdiff_t>(end),
                    b.begin() + from)) {
      sectors.push_back(begin / kSectorBytes);
    }
  }
  return sectors;
}

class States {
 public:
  void add(const Contents& contents) {
    if (seen_.insert(contents->fingerprint).second) list_.push_back(contents);
  }
  void add(Bytes bytes) { add(contents_of(std::move(bytes))); }
  // In the last place, whether or not it was there.
  std::vector<Contents> end_with(const Contents& last) && {
    std::erase_if(list_, [&](const Contents& c) {
      return list_.front() != c && c->fingerprint == last->fingerprint;
    });
    if (list_.front()->fingerprint != last->fingerprint) list_.push_back(last);
    return std::move(list_);
  }

 private:
  std::vector<Contents> list_;
  std::set<std::uint64_t> seen_;
};

// The last write reached the disk up to a sector's end.
void add_torn_write(States& states, const Contents& before, const Write& write) {
  const std::size_t sectors = (write.bytes.size() + kSectorBytes - 1) / kSectorBytes;
  for (const std::size_t kept :
       {std::size_t{1}, sectors / 2, sectors - std::min(sectors, std::size_t{1})}) {
    if (kept == 0 || kept >= sectors) continue;
    Write part = write;
    part.bytes.resize(kept * kSectorBytes);
    states.add(apply_change(before, part));
  }
}

// The length of the end, and of the data any part.
void add_sector_subsets(States& states, const Bytes& before, const Bytes& after,
                        std::mt19937_64& random) {
  std::vector<std::size_t> sectors = sectors_that_differ(after, before);
  std::vector<std::size_t> tried = sectors;
  if (tried.size() > kSectorsTried) {
    std::ranges::shuffle(tried, random);
    tried.resize(kSectorsTried);
  }
  for (const std::size_t sector : tried) {
    Bytes alone = before;
    copy_sector(after, alone, sector);
    states.add(std::move(alone));
    Bytes missing = after;
    copy_sector(before, missing, sector);
    states.add(std::move(missing));
  }
  for (std::size_t i = 0; i < kRandomSubsets; ++i) {
    Bytes some = before;
    for (const std::size_t sector : sectors) {
      if (random() % 2 == 0) copy_sector(after, some, sector);
    }
    states.add(std::move(some));
  }
}

}  // namespace

FileBytes::FileBytes(std::vector<std::byte> contents)
    : bytes(std::move(contents)),
      fingerprint(std::hash<std::string_view>{}(
                      {reinterpret_cast<const char*>(bytes.data()), bytes.size()}) +
                  bytes.size()) {}

Contents contents_of(std::vector<std::byte> bytes) {
  return std::make_shared<const FileBytes>(std::move(bytes));
}

Contents apply_change(const Contents& before, const FileChange& change) {
  Bytes bytes = before->bytes;
  if (const auto* resize = std::get_if<Resize>(&change)) {
    bytes.resize(resize->size);
  } else {
    const Write& write = std::get<Write>(change);
    if (!write.bytes.empty()) {
      bytes.resize(std::max<std::size_t>(bytes.size(), write.offset + write.bytes.size()));
    }
    std::ranges::copy(write.bytes, bytes.begin() + static_cast<std::ptrdiff_t>(write.offset));
  }
  return contents_of(std::move(bytes));
}

std::vector<Contents> torn_states(const Contents& durable, std::span<const FileChange> unsynced,
                                  std::mt19937_64& random) {
  States states;
  states.add(durable);
  if (unsynced.empty()) return std::move(states).end_with(durable);
  std::vector<Contents> prefixes{durable};
  for (const FileChange& change : unsynced)
    prefixes.push_back(apply_change(prefixes.back(), change));
  const Contents after = prefixes.back();
  const std::size_t stride = std::max<std::size_t>(1, prefixes.size() / kPrefixesTried);
  for (std::size_t i = stride; i < prefixes.size(); i += stride) states.add(prefixes[i]);
  if (const auto* write = std::get_if<Write>(&unsynced.back())) {
    add_torn_write(states, prefixes[prefixes.size() - 2], *write);
  }
  // The length alone has changed: zeros where the file grew.
  Bytes length_alone = durable->bytes;
  length_alone.resize(after->bytes.size());
  states.add(length_alone);
  // The data alone have: what was written beyond the old end is lost.
  Bytes data_alone = after->bytes;
  data_alone.resize(durable->bytes.size());
  states.add(std::move(data_alone));
  add_sector_subsets(states, length_alone, after->bytes, random);
  return std::move(states).end_with(after);
}

}  // namespace ptrain::crash
