// Reading one Cap'n Proto struct from bytes of a stranger: copied to aligned memory first,
// within limits of size, traversal and nesting; whatever is wrong becomes Malformed.

#pragma once

#include <cstddef>
#include <cstring>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include <capnp/message.h>
#include <capnp/serialize.h>
#include <fmt/format.h>
#include <kj/exception.h>

#include "libcommon/wire/envelope.h"

namespace ptrain::wire {

// Thrown by a reading function for a value that the schema allows and we do not; caught by
// read_bounded.
struct UnwelcomeValue {
  std::string why;
};

// What `read` makes of the struct `Root` in `bytes`. `what` names them: "header".
template <class Root, class Read>
auto read_bounded(std::span<const std::byte> bytes, std::size_t max_bytes, const char* what,
                  Read read) -> std::variant<decltype(read(typename Root::Reader())), Malformed> {
  if (bytes.size() > max_bytes) {
    return Malformed{
        fmt::format("{} of {} bytes, at most {} allowed", what, bytes.size(), max_bytes)};
  }
  if (bytes.empty() || bytes.size() % sizeof(capnp::word) != 0) {
    return Malformed{
        fmt::format("{} of {} bytes, which is no whole number of words", what, bytes.size())};
  }
  // A ZeroMQ part begins at any address, a Cap'n Proto message at a multiple of eight.
  std::vector<capnp::word> words(bytes.size() / sizeof(capnp::word));
  std::memcpy(words.data(), bytes.data(), bytes.size());
  const capnp::ReaderOptions limits{
      .traversalLimitInWords = kMaxTraversalBytes / sizeof(capnp::word),
      .nestingLimit = kMaxNesting};
  try {
    capnp::FlatArrayMessageReader message(kj::arrayPtr(words.data(), words.size()), limits);
    return read(message.getRoot<Root>());
  } catch (const kj::Exception& exception) {
    return Malformed{
        fmt::format("not a Cap'n Proto message of ours: {}", exception.getDescription().cStr())};
  } catch (UnwelcomeValue& unwelcome) {
    return Malformed{std::move(unwelcome.why)};
  }
}

}  // namespace ptrain::wire
