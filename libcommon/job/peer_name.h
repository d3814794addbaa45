// What a view calls a peer: a word that the network layer made of a public key and a worker's name,
// or of the name alone. Here it is only compared and printed, so that views need no network. Where
// a job is elastic, it has the process' incarnation in it too: a process that starts anew is
// another peer, who has nothing that the one before it had, and has promised nothing. Value.

#pragma once

#include <compare>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace ptrain::job {

// 1 to kMaxBytes letters, digits, and the signs . _ - (a name also stands in files and log lines).
class PeerName {
 public:
  static constexpr std::size_t kMaxBytes = 64;

  PeerName() = default;  // nobody
  // Throws Error(usage) unless `text` is such a word.
  explicit PeerName(std::string_view text);
  static std::optional<PeerName> parse(std::string_view text);

  bool empty() const { return text_.empty(); }
  const std::string& text() const { return text_; }

  auto operator<=>(const PeerName&) const = default;

 private:
  std::string text_;
};

}  // namespace ptrain::job
