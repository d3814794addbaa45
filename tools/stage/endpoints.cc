#include "tools/stage/endpoints.h"

#include <charconv>
#include <fstream>
#include <iostream>
#include <optional>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/ckpt/record.h"

namespace ptrain::stage {
namespace {

std::vector<net::Endpoint> parse_lines(std::istream& lines, const std::string& name) {
  std::vector<net::Endpoint> endpoints;
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    if (line.empty() || line.front() == '#') continue;
    try {
      endpoints.push_back(net::parse_endpoint(line));
    } catch (const Error& error) {
      throw Error(error.kind(), fmt::format("{}:{}: {}", name, number, error.what()), error.hint());
    }
    if (endpoints.size() > ckpt::kMaxStages) {
      throw Error(ErrorKind::usage,
                  fmt::format("{}:{}: more than {} stages", name, number, ckpt::kMaxStages));
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
  std::ifstream lines(file);
  if (!lines) throw io_error("open " + file.string(), errno);
  return parse_lines(lines, file.string());
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
