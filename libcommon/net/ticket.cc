#include "libcommon/net/ticket.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <ctime>
#include <optional>

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libcommon/base/error.h"
#include "libcommon/os/file_descriptor.h"
#include "libcommon/os/private_file.h"

namespace ptrain::net {
namespace {

constexpr std::string_view kFirstLine = "ptrain-ticket";
constexpr std::string_view kLastLine = "end";

class Parser {
 public:
  Parser(std::string_view text, const std::string& source) : rest_(text), source_(source) {}

  Ticket parse() {
    const std::string version = value_of(kFirstLine, next_line());
    if (version != std::to_string(kTicketVersion)) {
      fail(fmt::format("ticket version '{}', this program reads {}", version, kTicketVersion),
           "it was made by another release of ptrain");
    }
    while (true) {
      const std::string_view line = next_line();
      if (line == kLastLine) break;
      take(line);
    }
    if (!rest_.empty()) fail("text after the end", "");
    if (run_.empty() || relays_.empty() || !expires_ || !secret_) {
      fail("the run, a relay, the expiry or the secret is missing", kRemedy);
    }
    return {.run = run_, .relays = relays_, .expires = *expires_, .secret = *secret_};
  }

 private:
  static constexpr const char* kRemedy = "ask for the ticket again: it was cut short or changed";

  [[noreturn]] void fail(const std::string& why, const std::string& hint) const {
    throw Error(ErrorKind::corrupt, fmt::format("{}: line {}: {}", source_, line_, why), hint);
  }

  std::string_view next_line() {
    const std::size_t end = rest_.find('\n');
    if (end == std::string_view::npos) {
      ++line_;
      fail("the file ends before its end", kRemedy);
    }
    ++line_;
    std::string_view line = rest_.substr(0, end);
    rest_.remove_prefix(end + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);  // mailed
    return line;
  }

  std::string value_of(std::string_view label, std::string_view line) const {
    if (!line.starts_with(label) || line.size() <= label.size() || line[label.size()] != ' ') {
      fail(fmt::format("expected '{} ...'", label), "is this a ticket?");
    }
    return std::string(line.substr(label.size() + 1));
  }

  void take(std::string_view line) {
    const std::string_view label = line.substr(0, line.find(' '));
    if (label == "run") {
      run_ = value_of(label, line);
      if (!is_run_name(run_)) fail(fmt::format("'{}' is no name of a run", run_), kRemedy);
    } else if (label == "relay") {
      take_relay(value_of(label, line));
    } else if (label == "expires") {
      expires_ = parse_wall_time(value_of(label, line));
      if (!expires_) fail("the expiry is no time such as 2026-12-22T18:30:00Z", kRemedy);
    } else if (label == "secret") {
      const auto bytes = sha256_from_hex(value_of(label, line));  // 32 bytes as well
      if (!bytes) fail("the secret is not 64 hexadecimal digits", kRemedy);
      secret_ = JobSecret(*bytes);
    } else {
      fail("a line that this program does not know",
           "it was made by another release of ptrain, or changed");
    }
  }

  void take_relay(const std::string& value) {
    if (relays_.size() == kMaxTicketRelays) {
      fail(fmt::format("more than {} relays", kMaxTicketRelays), kRemedy);
    }
    const std::size_t space = value.find(' ');
    const std::string port = space == std::string::npos ? "" : value.substr(space + 1);
    TicketRelay relay;
    const auto [end, error] =
        std::from_chars(port.data(), port.data() + port.size(), relay.data_port);
    if (error != std::errc() || end != port.data() + port.size() || relay.data_port == 0) {
      fail("expected 'relay tcp://HOST:PORT#KEY DATA-PORT'", kRemedy);
    }
    try {
      relay.control = parse_endpoint(value.substr(0, space));
    } catch (const Error& refused) {
      fail(refused.what(), kRemedy);
    }
    if (relay.control.kind != EndpointKind::direct || !relay.control.key) {
      fail("a relay needs tcp://HOST:PORT#KEY", kRemedy);
    }
    relays_.push_back(std::move(relay));
  }

  std::string_view rest_;
  const std::string& source_;
  int line_ = 0;
  std::string run_;
  std::vector<TicketRelay> relays_;
  std::optional<WallTime> expires_;
  std::optional<JobSecret> secret_;
};

}  // namespace

bool is_run_name(std::string_view text) {
  if (text.empty() || text.size() > kMaxRunNameChars) return false;
  if (text.front() == '.' || text.front() == '-') return false;
  return std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  });
}

std::string to_string(WallTime time) {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}",
                     fmt::gmtime(static_cast<std::time_t>(time.time_since_epoch().count())));
}

std::optional<WallTime> parse_wall_time(std::string_view text) {
  std::tm time{};
  int consumed = 0;
  const std::string copy(text);
  const int fields =
      std::sscanf(copy.c_str(), "%4d-%2d-%2dT%2d:%2d:%2dZ%n", &time.tm_year, &time.tm_mon,
                  &time.tm_mday, &time.tm_hour, &time.tm_min, &time.tm_sec, &consumed);
  if (fields != 6 || consumed != static_cast<int>(copy.size())) return std::nullopt;
  time.tm_year -= 1900;
  time.tm_mon -= 1;
  const WallTime result{std::chrono::seconds(::timegm(&time))};
  // A date that does not exist comes out as another one.
  return to_string(result) == text ? std::optional(result) : std::nullopt;
}

std::string to_text(const Ticket& ticket) {
  std::string text = fmt::format("{} {}\nrun {}\n", kFirstLine, kTicketVersion, ticket.run);
  for (const TicketRelay& relay : ticket.relays) {
    text += fmt::format("relay {} {}\n", to_string(relay.control), relay.data_port);
  }
  text += fmt::format("expires {}\nsecret {}\n{}\n", to_string(ticket.expires),
                      ptrain::to_hex(ticket.secret.bytes()), kLastLine);
  return text;
}

Ticket parse_ticket(std::string_view text, const std::string& source) {
  return Parser(text, source).parse();
}

Ticket load_ticket(const std::filesystem::path& path) {
  std::string text = os::read_private_file(path, "ticket", kMaxTicketBytes);
  try {
    Ticket ticket = parse_ticket(text, path.string());
    ::explicit_bzero(text.data(), text.size());
    return ticket;
  } catch (...) {
    ::explicit_bzero(text.data(), text.size());
    throw;
  }
}

void save_ticket(const Ticket& ticket, const std::filesystem::path& path) {
  const os::FileDescriptor file(
      ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR));
  if (!file.valid() && errno == EEXIST) {
    throw Error(ErrorKind::usage, fmt::format("ticket {} is there already", path.string()),
                "remove it, or name another file");
  }
  if (!file.valid()) throw io_error("create ticket " + path.string(), errno);
  std::string text = to_text(ticket);
  const bool written =
      ::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()) &&
      ::fsync(file.get()) == 0;
  const int error_number = errno;
  ::explicit_bzero(text.data(), text.size());
  if (written) return;
  ::unlink(path.c_str());
  throw io_error("write ticket " + path.string(), error_number);
}

}  // namespace ptrain::net
