// The text of the Error that an action must throw.

#pragma once

#include <string>

#include <gtest/gtest.h>

#include "libcommon/base/error.h"

namespace ptrain::ckpt {

template <class Action>
std::string error_of(Action&& action, ErrorKind kind = ErrorKind::corrupt) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

}  // namespace ptrain::ckpt
