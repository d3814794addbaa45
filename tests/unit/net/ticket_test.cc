#include "libcommon/net/ticket.h"

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/unit/net/mesh_fixture.h"
#include "tests/unit/os/temporary_directory.h"

namespace ptrain::net {
namespace {

using testing::HasSubstr;

const std::string kKey(64, 'a');

SigningKey issuer() {
  std::array<std::byte, IssuerSecret::kBytes> bytes{};
  bytes.fill(std::byte{0x33});
  return IssuerSecret(bytes).key();
}

Ticket sample() {
  std::array<std::byte, 32> bytes{};
  bytes.fill(std::byte{0x5c});
  const JobSecret secret(bytes);
  return {
      .run = "llama-home",
      .relays = {{.control = parse_endpoint("tcp://relay.example.net:7400#" + kKey),
                  .data_port = 7401},
                 {.control = parse_endpoint("tcp://[2001:db8::1]:7400#" + kKey), .data_port = 443}},
      .issuer = issuer().verify_key(),
      .grant = make_grant(issuer(), secret.member_key().verify_key(),
                          *parse_wall_time("2026-12-22T18:30:00Z")),
      .secret = secret};
}

void expect_same(const Ticket& a, const Ticket& b) {
  EXPECT_EQ(a.run, b.run);
  EXPECT_EQ(a.relays, b.relays);
  EXPECT_EQ(a.issuer, b.issuer);
  EXPECT_EQ(a.grant, b.grant);
  EXPECT_EQ(a.secret.bytes(), b.secret.bytes());
}

std::string flaw(const std::string& text) {
  return error_text(ErrorKind::corrupt, [&] { parse_ticket(text, "t"); });
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

TEST(Ticket, ReadsBackWhatItWrote) { expect_same(parse_ticket(to_text(sample()), "t"), sample()); }

TEST(Ticket, SurvivesMailAndEditors) {
  for (const std::string line_end : {"\r\n", " \n", "\t\r\n", "\n\n", " # mailed\n"}) {
    std::string text = "\xef\xbb\xbf";
    for (const char c : to_text(sample())) text += c == '\n' ? line_end : std::string(1, c);
    expect_same(parse_ticket(text, "t"), sample());
    expect_same(parse_ticket(text.substr(0, text.rfind("end") + 3), "t"), sample());
  }
}

TEST(Ticket, CutShortAnywhereIsRefusedWithTheRemedy) {
  const std::string text = to_text(sample());
  // Whole with its last word, whether or not a line end is behind it.
  for (std::size_t size = 0; size + 1 < text.size(); ++size) {
    EXPECT_THROW(parse_ticket(text.substr(0, size), "t"), Error) << size;
  }
  EXPECT_THAT(flaw(text.substr(0, text.size() / 2)), HasSubstr("ask for the ticket again"));
}

TEST(Ticket, NamesTheLineThatIsWrong) {
  const std::string text = to_text(sample());
  EXPECT_THAT(flaw(replaced(text, "ptrain-ticket 2", "ptrain-ticket 3")), HasSubstr("line 1"));
  EXPECT_THAT(flaw(replaced(text, "llama-home", "../etc")), HasSubstr("line 2"));
  EXPECT_THAT(flaw(replaced(text, " 7401", " 0")), HasSubstr("line 3"));
  EXPECT_THAT(flaw(replaced(text, " 7401", " 65536")), HasSubstr("line 3"));
  EXPECT_THAT(flaw(replaced(text, "#" + kKey, "")), HasSubstr("line 3"));
  EXPECT_THAT(flaw(replaced(text, "2026-12-22", "2026-02-30")), HasSubstr("line 6"));
  EXPECT_THAT(flaw(replaced(text, "issuer ", "issuer 0")), HasSubstr("line 5"));
  EXPECT_THAT(flaw(replaced(text, "signature ", "signature x")), HasSubstr("line 7"));
  EXPECT_THAT(flaw(replaced(text, "secret 5c", "secret 5")), HasSubstr("line 8"));
  EXPECT_THAT(flaw(replaced(text, "secret", "colour blue\nsecret")), HasSubstr("line 8"));
  EXPECT_THAT(flaw(text + "more\n"), HasSubstr("after the end"));
}

TEST(Ticket, WithADateThatTheIssuerHasNotSignedIsRefused) {
  const std::string text = to_text(sample());
  EXPECT_THAT(flaw(replaced(text, "expires 2026", "expires 2036")),
              HasSubstr("the issuer has not signed this expiry"));
  EXPECT_THAT(flaw(replaced(text, "secret 5c", "secret 5d")), HasSubstr("has not signed"));
}

TEST(Ticket, OfTheFirstVersionIsRefusedWithTheRemedy) {
  try {
    parse_ticket(replaced(to_text(sample()), "ptrain-ticket 2", "ptrain-ticket 1"), "t");
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("ticket version '1', this program reads 2"));
    EXPECT_THAT(error.hint(), HasSubstr("make a new one with ptrain-relay ticket new"));
  }
}

TEST(Ticket, NamesUpToEightRelays) {
  Ticket ticket = sample();
  ticket.relays.resize(kMaxTicketRelays, ticket.relays[0]);
  EXPECT_EQ(parse_ticket(to_text(ticket), "t").relays.size(), kMaxTicketRelays);
  ticket.relays.push_back(ticket.relays[0]);
  EXPECT_THAT(flaw(to_text(ticket)), HasSubstr("more than 8 relays"));
}

TEST(Ticket, RunNamesStandInFileNamesAndShells) {
  EXPECT_TRUE(is_run_name("a"));
  EXPECT_TRUE(is_run_name("Llama_3.2-home"));
  EXPECT_TRUE(is_run_name(std::string(kMaxRunNameChars, 'x')));
  EXPECT_FALSE(is_run_name(std::string(kMaxRunNameChars + 1, 'x')));
  for (const char* text : {"", ".", "..", "-r", "a b", "a/b", "ä", "a\n", "$x"}) {
    EXPECT_FALSE(is_run_name(text)) << text;
  }
}

TEST(Ticket, ExpiresAtItsSecond) {
  const Ticket ticket = sample();
  EXPECT_FALSE(ticket.expired(ticket.grant.expires - std::chrono::seconds(1)));
  EXPECT_TRUE(ticket.expired(ticket.grant.expires));
}

TEST(Ticket, IsSavedForItsOwnerAloneAndNeverOverAnother) {
  const os::TemporaryDirectory folder;
  const auto path = folder.path() / "run.ticket";
  save_ticket(sample(), path);
  struct stat status {};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600u);
  expect_same(load_ticket(path), sample());
  EXPECT_THAT(error_text(ErrorKind::usage, [&] { save_ticket(sample(), path); }),
              HasSubstr("there already"));
}

TEST(Ticket, ThatOthersMayReadIsRefusedWithTheRemedy) {
  const os::TemporaryDirectory folder;
  const auto path = folder.path() / "run.ticket";
  save_ticket(sample(), path);
  for (const mode_t mode : {0640u, 0604u, 0666u}) {
    ::chmod(path.c_str(), mode);
    EXPECT_THAT(error_text(ErrorKind::permission, [&] { load_ticket(path); }),
                HasSubstr("chmod 600 " + path.string()));
  }
}

TEST(Ticket, LongerThanItsLimitIsRefused) {
  const os::TemporaryDirectory folder;
  const auto path = folder.path() / "run.ticket";
  std::ofstream(path) << std::string(kMaxTicketBytes + 1, 'x');
  ::chmod(path.c_str(), 0600);
  EXPECT_THAT(error_text(ErrorKind::corrupt, [&] { load_ticket(path); }), HasSubstr("16384"));
}

TEST(Ticket, ThatIsNotThereIsNamed) {
  EXPECT_THAT(error_text(ErrorKind::io, [] { load_ticket("/nonexistent/t"); }),
              HasSubstr("/nonexistent/t"));
}

}  // namespace
}  // namespace ptrain::net
