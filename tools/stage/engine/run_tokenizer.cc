#include "tools/stage/engine/run_tokenizer.h"

#include <utility>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/ckpt/tokenizer_file.h"
#include "libcommon/data/byte_tokenizer.h"
#include "libcommon/data/tokenizer.h"

namespace ptrain::stage {
namespace {

constexpr const char* kHint =
    "set data.tokenizer to the SentencePiece model that ptrain-data encode was given";

}  // namespace

RunTokenizer::RunTokenizer(const job::Job& job, os::Storage& storage)
    : name_(job.data.tokenizer), named_(name_ != data::ByteTokenizer::kName) {
  if (named_) model_ = ckpt::load_tokenizer(storage, name_);
}

std::optional<Sha256Digest> RunTokenizer::digest() const {
  return model_ ? std::optional(sha256(*model_)) : std::nullopt;
}

void RunTokenizer::continue_from(const ckpt::CheckpointReader& checkpoint) {
  auto theirs = checkpoint.tokenizer();
  if (!theirs) return;
  if (named_ && digest() != theirs->sha256) {
    throw Error(ErrorKind::usage,
                fmt::format("data.tokenizer {}: it is {}, the checkpoint of step {} has {}", name_,
                            data::tokenizer_text(digest()), checkpoint.manifest().run.step.value(),
                            data::tokenizer_text(theirs->sha256)),
                kHint);
  }
  model_ = std::move(theirs->bytes);
}

void RunTokenizer::check(const data::TokenDataset& dataset) const {
  const data::TokenShard* shard = dataset.made_by_another(digest());
  if (shard == nullptr) return;
  throw Error(ErrorKind::usage,
              fmt::format("data.tokenizer {}: it is {}, {} was made by {}", name_,
                          data::tokenizer_text(digest()), shard->path().string(),
                          data::tokenizer_text(shard->header().tokenizer)),
              kHint);
}

}  // namespace ptrain::stage
