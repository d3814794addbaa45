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
constexpr std::size_t kMaxWorkers = 4096;

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

// Cells are digits and a comma; every endpoint has a colon, and may have spaces.
WorkerLine parse_line(std::string_view text) {
  WorkerLine worker;
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find_first_of(" \t"));
    if (word.find(':') != std::string_view::npos) {
      worker.endpoint = net::parse_endpoint(text);
      break;
    }
    worker.cells.push_back(job::parse_cell(std::string(word)));
    text.remove_prefix(std::min(text.find_first_not_of(" \t", word.size()), text.size()));
  }
  return worker;
}

std::vector<WorkerLine> parse_lines(std::istream& file, const std::string& name) {
  std::vector<WorkerLine> workers;
  const std::string text = read_text(file, name);
  for (const TextLine& line : text_lines(text)) {
    const auto flawed = [&](ErrorKind kind, const std::string& what, const std::string& hint) {
      return Error(kind, fmt::format("{}:{}: {}", name, line.number, what), hint);
    };
    try {
      workers.push_back(parse_line(line.text));
    } catch (const Error& error) {
      throw flawed(error.kind(), error.what(), error.hint());
    }
    const WorkerLine& first = workers.front();
    const WorkerLine& last = workers.back();
    if (first.endpoint.has_value() != last.endpoint.has_value() ||
        first.cells.empty() != last.cells.empty()) {
      throw flawed(ErrorKind::usage, "another kind of line than the first",
                   "all lines have cells or none has, and so with endpoints");
    }
    if (workers.size() > kMaxWorkers) {
      throw flawed(ErrorKind::usage, fmt::format("more than {} processes", kMaxWorkers), "");
    }
  }
  if (workers.empty()) throw Error(ErrorKind::usage, name + ": no endpoint in it");
  return workers;
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

std::vector<WorkerLine> read_workers(const std::filesystem::path& file) {
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
