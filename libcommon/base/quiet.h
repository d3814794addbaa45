// --quiet: whoever says something to people asks whether it is wanted. For the whole process, as
// standard error is, and set before there are threads. Warnings and errors are said all the same.

#pragma once

namespace ptrain {

void be_quiet();
bool is_quiet();

}  // namespace ptrain
