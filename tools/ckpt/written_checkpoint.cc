#include "tools/ckpt/written_checkpoint.h"

#include <fmt/format.h>

#include "libcommon/cli/json_line.h"
#include "libcommon/cli/output.h"

namespace ptrain::ckpt_tool {

void print_written(const std::filesystem::path& folder, const ckpt::CheckpointId& id,
                   const ckpt::Manifest& manifest, bool json) {
  if (!json) {
    cli::print("{}: id {}\n", folder.string(), id.hex());
    return;
  }
  cli::print_json_line({{"step", manifest.run.step.value()},
                        {"path", folder.string()},
                        {"id", id.hex()},
                        {"weights_sha256", to_hex(manifest.weights_sha256)},
                        {"stages", manifest.stages.size()}});
}

}  // namespace ptrain::ckpt_tool
