// What a data set is made of, shard by shard, so that of two hosts whose data differ each can say
// in what. Values; pure but for outline_of(), which reads a bounded sample of every shard.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "libcommon/data/dataset.h"

namespace ptrain::data {

inline constexpr std::size_t kMostOutlinedShards = 64;
inline constexpr std::size_t kMaxOutlinedNameBytes = 64;

struct ShardOutline {
  std::string name;  // of the file, without its folder; the copies of a shard may have several
  std::uint64_t tokens = 0;
  std::uint64_t bits = 0;  // of a token
  std::string sample;      // the beginning of a hash, in hexadecimal
};

struct DataOutline {
  std::uint64_t shards = 0;
  std::uint64_t tokens = 0;
  std::vector<ShardOutline> first;  // kMostOutlinedShards at most
};

DataOutline outline_of(const TokenDataset& dataset);

nlohmann::json to_json(const DataOutline& outline);
// Nothing where it is none: a peer wrote it.
std::optional<DataOutline> outline_from(const nlohmann::json& value);

// "data.train: 3 shards here, 2 there; 54000 tokens here, 36000 there; shard 2 is the first that
// differs: b.bin (18000 tokens of 16 bits) here, b.bin (as many others) there". `name` is the
// data's. Empty when nothing that an outline holds differs. None: the host has no such data.
std::string difference(const std::string& name, const std::optional<DataOutline>& ours,
                       const std::optional<DataOutline>& theirs);

}  // namespace ptrain::data
