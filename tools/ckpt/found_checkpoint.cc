#include "tools/ckpt/found_checkpoint.h"

#include <utility>
#include <variant>

#include "libcommon/cli/early_end.h"
#include "libcommon/cli/exit_code.h"

namespace ptrain::ckpt_tool {
namespace {

ckpt::FoundCheckpoint or_end(ckpt::LookedUp looked_up) {
  if (auto* found = std::get_if<ckpt::FoundCheckpoint>(&looked_up)) return std::move(*found);
  auto& none = std::get<ckpt::NoCheckpoint>(looked_up);
  throw cli::EarlyEnd{none.corrupt ? cli::kCorrupt : cli::kNegative, std::move(none.why),
                      std::move(none.hint)};
}

}  // namespace

ckpt::FoundCheckpoint find_checkpoint(os::Storage& storage, const std::string& word,
                                      const std::string& directory) {
  return or_end(
      ckpt::find_checkpoint(storage, ckpt::parse_checkpoint_name(storage, word, directory)));
}

ckpt::FoundCheckpoint find_complete(os::Storage& storage, const std::string& word,
                                    const std::string& directory) {
  return or_end(
      ckpt::find_complete(storage, ckpt::parse_checkpoint_name(storage, word, directory)));
}

FolderOfCheckpoints open_folder(os::Storage& storage, const std::string& directory) {
  const auto folder = ckpt::checkpoint_folder(storage, directory);
  // Says why where there is none.
  ckpt::CheckpointStore store = or_end(ckpt::find_checkpoint(storage, {folder, ""})).store;
  auto steps = store.list();
  return {std::move(store), std::move(steps)};
}

}  // namespace ptrain::ckpt_tool
