#include "tools/ckpt/checkpoint_name.h"

#include <fmt/format.h>

#include "libcommon/cli/exit_code.h"
#include "tools/ckpt/early_end.h"

namespace ptrain::ckpt_tool {

CheckpointName parse_checkpoint_name(std::string_view word, const std::string& directory) {
  while (word.size() > 1 && word.ends_with('/')) word.remove_suffix(1);  // a completed path
  const std::size_t slash = word.rfind('/');
  if (slash == std::string_view::npos) return {directory, std::string(word)};
  return {slash == 0 ? "/" : std::string(word.substr(0, slash)),
          std::string(word.substr(slash + 1))};
}

FoundCheckpoint find_checkpoint(os::Storage& storage, const CheckpointName& name) {
  ckpt::CheckpointStore store(storage, name.directory, "reader");
  auto info = store.find(name.which);
  if (!info) {
    throw EarlyEnd{cli::kNegative,
                   fmt::format("no checkpoint {} in {}", name.which, name.directory.string())};
  }
  return {std::move(store), std::move(*info)};
}

FoundCheckpoint find_complete(os::Storage& storage, const CheckpointName& name) {
  FoundCheckpoint found = find_checkpoint(storage, name);
  if (found.info.state == ckpt::StepState::complete) return found;
  const bool corrupt = found.info.state == ckpt::StepState::corrupt;
  throw EarlyEnd{corrupt ? cli::kCorrupt : cli::kNegative,
                 fmt::format("{} is {}: {}", found.folder().string(),
                             corrupt ? "corrupt" : "not complete", found.info.reason)};
}

}  // namespace ptrain::ckpt_tool
