#include "tools/ckpt/byte_work.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "libcommon/cli/early_end.h"
#include "tools/ckpt/quantity.h"

namespace ptrain::ckpt_tool {

void ByteWork::begin(std::string what, ByteCount total) {
  what_ = std::move(what);
  total_ = total;
  done_ = ByteCount(0);
  begun_ = clock_.now();
}

ckpt::Progress ByteWork::progress() {
  return [this](ByteCount bytes) { count(bytes); };
}

void ByteWork::count(ByteCount bytes) {
  if (stop_.requested()) throw cli::EarlyEnd{128 + stop_.signal_number()};
  done_ = ByteCount(done_.value() + bytes.value());
  if (!line_.active()) return;
  const double elapsed_s = std::max(1e-3, seconds(clock_.now() - begun_));
  const auto bytes_per_s =
      static_cast<std::uint64_t>(static_cast<double>(done_.value()) / elapsed_s);
  line_.update(fmt::format("{}: {} of {}, {}/s", what_, size_text(done_), size_text(total_),
                           size_text(ByteCount(bytes_per_s))));
}

}  // namespace ptrain::ckpt_tool
