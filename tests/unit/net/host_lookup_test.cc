#include "libcommon/net/host_lookup.h"

#include <thread>

#include <gtest/gtest.h>

namespace ptrain::net {
namespace {

using namespace std::chrono_literals;

std::optional<std::string> await_address(HostLookup& lookup, Duration patience) {
  const SteadyClock clock;
  for (const TimePoint end = clock.now() + patience; clock.now() < end;) {
    if (auto address = lookup.address(clock.now())) return address;
    std::this_thread::sleep_for(kLookupPoll);
  }
  return std::nullopt;
}

TEST(HostLookup, ANumericAddressIsItself) {
  for (const char* host : {"11.0.0.11", "[::1]", ""}) {
    HostLookup lookup(host);
    EXPECT_EQ(lookup.address(TimePoint{}), host);
  }
}

TEST(HostLookup, ANameIsLookedUpWithoutWaiting) {
  HostLookup lookup("localhost");
  const SteadyClock clock;
  EXPECT_EQ(lookup.address(clock.now()), std::nullopt);
  EXPECT_EQ(await_address(lookup, 30s), "127.0.0.1");
}

TEST(HostLookup, AnAddressInDoubtIsUsedUntilAnotherIsKnown) {
  HostLookup lookup("localhost");
  ASSERT_TRUE(await_address(lookup, 30s));
  lookup.doubt(SteadyClock().now() + kLookupPause);
  EXPECT_EQ(lookup.address(SteadyClock().now()), "127.0.0.1");
}

TEST(HostLookup, ANameThatMeansNothingHasNoAddress) {
  HostLookup lookup("no such host");
  EXPECT_EQ(await_address(lookup, 100ms), std::nullopt);
  const SteadyClock clock;
  for (const TimePoint end = clock.now() + 30s; !lookup.unknown() && clock.now() < end;) {
    EXPECT_EQ(await_address(lookup, 100ms), std::nullopt);
  }
  EXPECT_TRUE(lookup.unknown());
}

}  // namespace
}  // namespace ptrain::net
