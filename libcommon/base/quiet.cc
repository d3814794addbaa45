#include "libcommon/base/quiet.h"

namespace ptrain {
namespace {

bool quiet = false;

}  // namespace

void be_quiet() { quiet = true; }
bool is_quiet() { return quiet; }

}  // namespace ptrain
