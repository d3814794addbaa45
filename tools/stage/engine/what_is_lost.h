// What a run that ends before its time leaves behind, in the words that it ends with. Pure. They
// promise only what lies on a disk.

#pragma once

#include <optional>
#include <string>

#include "libcommon/base/units.h"

namespace ptrain::stage {

struct LeftBehind {
  Step trained;               // the last step whose update this stage has made
  std::optional<Step> saved;  // the newest checkpoint
  bool automatic = true;      // the command says nothing else than --resume auto
  bool share = false;         // this stage's files of `trained` are durable, whoever has others
};

std::string what_is_lost(const LeftBehind& left);

}  // namespace ptrain::stage
