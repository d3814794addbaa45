#include "tools/stage/endpoints.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <fstream>
#include <iostream>
#include <optional>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/base/text_lines.h"
#include "libcommon/ckpt/record.h"

namespace ptrain::stage {
namespace {

constexpr std::size_t kMaxFileBytes = 1 << 20;

// Anything that can be read will do, a pipe too.
std::string read_text(std::istream& file, const std::string& name) {
  std::string text(kMaxFileBytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (file.bad() || (file.fail() && !file.eof())) throw io_error("read " + name, errno);
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (text.size() <= kMaxFileBytes) return text;
  throw Error(ErrorKind::usage, fmt::format("{}: longer than {} bytes", name, kMaxFileBytes),
              "is it the right file?");
}

std::vector<net::Endpoint> parse_lines(std::istream& file, const std::string& name) {
  std::vector<net::Endpoint> endpoints;
  const std::string text = read_text(file, name);
  for (const TextLine& line : text_lines(text)) {
    try {
      endpoints.push_back(net::parse_endpoint(line.text));
    } catch (const Error& error) {
      throw Error(error.kind(), fmt::format("{}:{}: {}", name, line.number, error.what()),
                  error.hint());
    }
    if (endpoints.size() > ckpt::kMaxStages) {
      throw Error(ErrorKind::usage,
                  fmt::format("{}:{}: more than {} stages", name, line.number, ckpt::kMaxStages));
    }
  }
  if (endpoints.empty()) throw Error(ErrorKind::usage, name + ": no endpoint in it");
  return endpoints;
}

struct NumberedPeer {
  std::uint32_t stage;
  net::Endpoint endpoint;
};

NumberedPeer parse_peer(const std::string& text) {
  const std::size_t equals = text.find('=');
  std::uint32_t stage = 0;
  const char* const end = text.data() + std::min(equals, text.size());
  const auto [rest, failure] = std::from_chars(text.data(), end, stage);
  if (equals == std::string::npos || failure != std::errc() || rest != end ||
      stage >= ckpt::kMaxStages) {
    throw Error(ErrorKind::usage,
                fmt::format("--peer {}: not a stage number below {}, = and an "
                            "endpoint",
                            text, ckpt::kMaxStages),
                "for example --peer 1=tcp://127.0.0.1:7001");
  }
  return {stage, net::parse_endpoint(std::string_view(text).substr(equals + 1))};
}

}  // namespace

std::vector<net::Endpoint> read_endpoints(const std::filesystem::path& file) {
  if (file == "-") return parse_lines(std::cin, "standard input");
  std::ifstream text(file, std::ios::binary);
  if (!text) throw io_error("open " + file.string(), errno);
  return parse_lines(text, file.string());
}

std::vector<net::Endpoint> endpoints_from_flags(const std::vector<std::string>& peers,
                                                std::uint32_t self, const net::Endpoint& listen) {
  std::vector<std::optional<net::Endpoint>> found(peers.size() + 1);
  if (self >= found.size()) {
    throw Error(ErrorKind::usage,
                fmt::format("--stage {}: with {} --peer there are {} stages, numbered from 0", self,
                            peers.size(), found.size()));
  }
  found[self] = listen;
  for (const std::string& text : peers) {
    NumberedPeer peer = parse_peer(text);
    if (peer.stage >= found.size()) {
      throw Error(ErrorKind::usage,
                  fmt::format("--peer {}: with {} --peer there are {} stages, numbered from 0",
                              text, peers.size(), found.size()));
    }
    if (found[peer.stage]) {
      throw Error(ErrorKind::usage,
                  fmt::format("--peer {}: stage {} is given twice", text, peer.stage));
    }
    found[peer.stage] = std::move(peer.endpoint);
  }
  // As many places as endpoints, none of them twice: all are filled.
  std::vector<net::Endpoint> endpoints;
  for (auto& endpoint : found) endpoints.push_back(std::move(*endpoint));
  return endpoints;
}

}  // namespace ptrain::stage
