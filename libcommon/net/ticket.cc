#include "libcommon/net/ticket.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <span>

#include <fmt/format.h>
#include <string.h>

#include "libcommon/base/error.h"
#include "libcommon/base/text_lines.h"
#include "libcommon/os/private_file.h"

namespace ptrain::net {
namespace {

constexpr std::string_view kFirstLine = "ptrain-ticket";
constexpr std::string_view kLastLine = "end";

std::string hex_of(std::span<const std::uint8_t> bytes) {
  return ptrain::to_hex(std::as_bytes(bytes));
}

class Parser {
 public:
  Parser(std::string_view text, const std::string& source)
      : lines_(text_lines(text)), source_(source) {}

  Ticket parse() {
    const std::string version = value_of(kFirstLine, next_line());
    if (version != std::to_string(kTicketVersion)) {
      fail(fmt::format("ticket version '{}', this program reads {}", version, kTicketVersion),
           version == "1"
               ? "tickets of version 1 can be given any date by whoever holds them, and are "
                 "not taken any more: make a new one with ptrain-relay ticket new"
               : "it was made by another release of ptrain");
    }
    while (true) {
      const std::string_view line = next_line();
      if (line == kLastLine) break;
      take(line);
    }
    if (next_ < lines_.size()) fail("text after the end", "");
    if (run_.empty() || relays_.empty() || !issuer_ || !expires_ || !signature_ || !secret_) {
      fail("the run, a relay, the issuer, the expiry, its signature or the secret is missing",
           kRemedy);
    }
    Ticket ticket{.run = run_,
                  .relays = relays_,
                  .issuer = *issuer_,
                  .grant = {.member_key = secret_->member_key().verify_key(),
                            .expires = *expires_,
                            .signature = *signature_},
                  .secret = *secret_};
    if (!is_signed(ticket.grant, ticket.issuer)) {
      fail("the issuer has not signed this expiry for this secret", kRemedy);
    }
    return ticket;
  }

 private:
  static constexpr const char* kRemedy = "ask for the ticket again: it was cut short or changed";

  [[noreturn]] void fail(const std::string& why, const std::string& hint) const {
    throw Error(ErrorKind::corrupt, fmt::format("{}: line {}: {}", source_, line_, why), hint);
  }

  std::string_view next_line() {
    if (next_ == lines_.size()) {
      ++line_;
      fail("the file ends before its end", kRemedy);
    }
    line_ = lines_[next_].number;
    return lines_[next_++].text;
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
    } else if (label == "issuer") {
      issuer_ = bytes_of<VerifyKey>(label, line);
    } else if (label == "signature") {
      signature_ = bytes_of<Signature>(label, line);
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

  template <class Bytes>
  Bytes bytes_of(std::string_view label, std::string_view line) const {
    const std::string text = value_of(label, line);
    Bytes bytes{};
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      const char* digits = text.data() + 2 * i;
      if (text.size() != 2 * bytes.size() ||
          std::from_chars(digits, digits + 2, bytes[i], 16).ptr != digits + 2) {
        fail(fmt::format("the {} is not {} hexadecimal digits", label, 2 * bytes.size()), kRemedy);
      }
    }
    return bytes;
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

  std::vector<TextLine> lines_;
  std::size_t next_ = 0;
  const std::string& source_;
  std::size_t line_ = 0;  // of the file: the last one that was read
  std::string run_;
  std::vector<TicketRelay> relays_;
  std::optional<VerifyKey> issuer_;
  std::optional<WallTime> expires_;
  std::optional<Signature> signature_;
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

std::string to_text(const Ticket& ticket) {
  std::string text = fmt::format("{} {}\nrun {}\n", kFirstLine, kTicketVersion, ticket.run);
  for (const TicketRelay& relay : ticket.relays) {
    text += fmt::format("relay {} {}\n", to_string(relay.control), relay.data_port);
  }
  text += fmt::format("issuer {}\nexpires {}\nsignature {}\nsecret {}\n{}\n", hex_of(ticket.issuer),
                      to_string(ticket.grant.expires), hex_of(ticket.grant.signature),
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

Ticket load_valid_ticket(const std::filesystem::path& path, WallTime now) {
  Ticket ticket = load_ticket(path);
  if (!ticket.expired(now)) return ticket;
  throw Error(
      ErrorKind::permission,
      fmt::format("{}: the ticket expired at {}", path.string(), to_string(ticket.grant.expires)),
      "ask whoever made it for a later one: ptrain-relay ticket renew");
}

void save_ticket(const Ticket& ticket, const std::filesystem::path& path) {
  os::create_private_file(path, "ticket", to_text(ticket));
}

}  // namespace ptrain::net
