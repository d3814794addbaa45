#include "libcommon/plan/links_file.h"

#include <string>
#include <string_view>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "libcommon/base/error.h"

namespace ptrain::plan {
namespace {

// What the reader says of `json`; empty: nothing.
std::string refusal(std::string_view json, const LinksLimits& limits = {}) {
  try {
    read_links(json, "links.json", limits);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::corrupt);
    return error.what();
  }
  return "";
}

std::string file_with(std::string_view rest) {
  return fmt::format(R"({{"kind":"links","version":1,"time_s":100,{}}})", rest);
}

std::string with_pair(std::string_view pair) {
  return file_with(
      fmt::format(R"("hosts":[{{"name":"a"}},{{"name":"b"}}],"pairs":[{{{}}}])", pair));
}

TEST(LinksFile, IsReadWithItsDefaults) {
  const Links links = read_links(file_with(R"(
      "hosts":[{"name":"a","site":"home","out_bytes_per_s":5000000,"in_bytes_per_s":2.5e7},
               {"name":"b","time_s":90,"failed":"asleep","detail":{"p99_s":1}}],
      "sites":[{"from":"home","to":"home","round_trip_s":0.001}],
      "pairs":[{"from":"a","to":"b","round_trip_s":0.05,"rate_bytes_per_s":1e6,"time_s":80}])"),
                                 "links.json");
  ASSERT_EQ(links.hosts.size(), 2U);
  EXPECT_EQ(links.hosts[0].site, "home");
  EXPECT_EQ(links.hosts[0].out_bytes_per_s, 5e6);
  EXPECT_EQ(links.hosts[0].in_bytes_per_s, 2.5e7);
  EXPECT_EQ(links.hosts[0].time_s, 100);
  EXPECT_EQ(links.hosts[1].site, "b");
  EXPECT_EQ(links.hosts[1].out_bytes_per_s, std::nullopt);
  EXPECT_EQ(links.hosts[1].failed, "asleep");
  EXPECT_EQ(links.hosts[1].time_s, 90);
  ASSERT_EQ(links.sites.size(), 1U);
  EXPECT_EQ(links.sites[0].round_trip_s, 0.001);
  EXPECT_EQ(links.sites[0].rate_bytes_per_s, std::nullopt);
  ASSERT_EQ(links.pairs.size(), 1U);
  EXPECT_EQ(links.pairs[0].rate_bytes_per_s, 1e6);
  EXPECT_EQ(links.pairs[0].time_s, 80);
}

TEST(LinksFile, WhatIsWrittenIsReadAgainAsItWas) {
  const Links links{
      .time_s = 1790000000.25,
      .hosts =
          {{.name = "east", .site = "berlin", .out_bytes_per_s = 1.0 / 3, .time_s = 17.5},
           {.name = "west", .site = "west", .failed = "no \"answer\"", .time_s = 1790000000.25}},
      .sites = {{.from = "berlin", .to = "west", .round_trip_s = 0.048, .time_s = 1790000000.25}},
      .pairs = {{.from = "west",
                 .to = "east",
                 .rate_bytes_per_s = 4.9e6,
                 .failed = "reset",
                 .time_s = 1}}};
  const std::string text = write_links(links);
  EXPECT_EQ(text.back(), '\n');
  const Links again = read_links(text, "links.json");
  EXPECT_EQ(write_links(again), text);
  EXPECT_EQ(again.hosts[0].out_bytes_per_s, 1.0 / 3);
  EXPECT_EQ(again.hosts[1].failed, "no \"answer\"");
  EXPECT_EQ(again.pairs[0].time_s, 1);
}

TEST(LinksFile, NamesWhatIsWrong) {
  EXPECT_EQ(refusal("[]"), "links.json: does not start with {");
  EXPECT_EQ(refusal(R"({"kind":"plan","version":1})"),
            R"(links.json: kind is "plan", expected "links")");
  EXPECT_EQ(refusal(R"({"kind":"links","version":2})"), "links.json: version is 2, expected 1");
  EXPECT_EQ(refusal(file_with(R"("hosts":[])")),
            "links.json: hosts is [], expected one host at least");
  EXPECT_EQ(
      refusal(file_with(R"("hosts":[{"name":"a b"}])")),
      "links.json: hosts[0]: name is \"a b\", expected 1 to 128 letters, digits, '.', '_' and "
      "'-'");
  EXPECT_EQ(refusal(file_with(R"("hosts":[{"name":"a"},{"name":"a"}])")),
            R"(links.json: hosts[1]: name is "a", expected one that no other host has)");
  EXPECT_EQ(refusal(file_with(R"("hosts":[{"name":"a","speed":1}])")),
            R"(links.json: hosts[0]: unknown key "speed")");
  EXPECT_EQ(refusal(with_pair(R"("from":"a","to":"c")")),
            R"(links.json: pairs[0]: to is "c", expected one that hosts[] has)");
  EXPECT_EQ(refusal(with_pair(R"("from":"a","to":"a")")),
            R"(links.json: pairs[0]: to is "a", expected another host)");
  EXPECT_EQ(
      refusal(with_pair(R"("from":"a","to":"b"},{"from":"a","to":"b")")),
      "links.json: pairs[1]: to is \"b\", expected a way that is not there yet: a to b is given "
      "twice");
  EXPECT_EQ(refusal(with_pair(R"("from":"a")")), "links.json: pairs[0]: no key \"to\"");
}

TEST(LinksFile, RefusesNumbersThatAreNone) {
  const auto rate = [](std::string_view number) {
    return refusal(with_pair(fmt::format(R"("from":"a","to":"b","rate_bytes_per_s":{})", number)));
  };
  EXPECT_EQ(rate("1e-9"), "");
  EXPECT_EQ(rate("1e-300"),
            "links.json: pairs[0]: rate_bytes_per_s is 1e-300, expected a number from 1e-09 to "
            "1000000000000000");
  EXPECT_EQ(rate("0"), "links.json: pairs[0]: rate_bytes_per_s is 0, expected a number above 0");
  EXPECT_EQ(rate("-5"),
            "links.json: pairs[0]: rate_bytes_per_s is -5, expected a number, 0 or more");
  EXPECT_EQ(rate(R"("5")"),
            R"(links.json: pairs[0]: rate_bytes_per_s is "5", expected a number, 0 or more)");
  EXPECT_NE(rate("NaN").find("links.json: not JSON at byte"), std::string::npos);
  EXPECT_NE(rate("1e999").find("links.json: not JSON at byte"), std::string::npos);
  EXPECT_EQ(refusal(with_pair(R"("from":"a","to":"b","time_s":101)")),
            "links.json: pairs[0]: time_s is 101, expected no later than the file's own, 100");
}

TEST(LinksFile, HoldsNoMoreThanItsLimits) {
  constexpr std::string_view kTwo = R"("hosts":[{"name":"a"},{"name":"b"}],
      "sites":[{"from":"a","to":"b"},{"from":"b","to":"a"}],
      "pairs":[{"from":"a","to":"b"},{"from":"b","to":"a"}])";
  EXPECT_EQ(refusal(file_with(kTwo), {.hosts = 2, .site_pairs = 2, .pairs = 2}), "");
  EXPECT_EQ(refusal(file_with(kTwo), {.hosts = 1}), "links.json: 2 hosts, at most 1");
  EXPECT_EQ(refusal(file_with(kTwo), {.site_pairs = 1}), "links.json: 2 sites, at most 1");
  EXPECT_EQ(refusal(file_with(kTwo), {.pairs = 1}), "links.json: 2 pairs, at most 1");
}

TEST(LinksFile, ANameHasAMostLength) {
  EXPECT_TRUE(is_host_name(std::string(kMaxNameChars, 'x')));
  EXPECT_FALSE(is_host_name(std::string(kMaxNameChars + 1, 'x')));
  EXPECT_FALSE(is_host_name(""));
  EXPECT_TRUE(is_host_name("Home-1.example_net"));
  EXPECT_FALSE(is_host_name("a/b"));
}

}  // namespace
}  // namespace ptrain::plan
