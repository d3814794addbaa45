#include "libcommon/net/host_lookup.h"

#include <csignal>
#include <thread>

#include <gtest/gtest.h>
#include <pthread.h>

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

TEST(HostLookup, WhereNoThreadCanBeginTheNameHasNoAddressYet) {
  pthread_attr_t usual;
  pthread_attr_t impossible;
  ASSERT_EQ(::pthread_getattr_default_np(&usual), 0);
  ASSERT_EQ(::pthread_attr_init(&impossible), 0);
  // More than any processor addresses: an emulator takes 64 TiB at its word, and dies of them.
  ASSERT_EQ(::pthread_attr_setstacksize(&impossible, std::size_t{1} << 62), 0);
  sigset_t before;
  ::pthread_sigmask(SIG_SETMASK, nullptr, &before);

  HostLookup lookup("localhost");
  const TimePoint now = SteadyClock().now();
  ASSERT_EQ(::pthread_setattr_default_np(&impossible), 0);
  EXPECT_NO_THROW(lookup.address(now));
  ASSERT_EQ(::pthread_setattr_default_np(&usual), 0);
  EXPECT_TRUE(lookup.unknown());
  sigset_t after;
  ::pthread_sigmask(SIG_SETMASK, nullptr, &after);
  EXPECT_EQ(::sigismember(&after, SIGTERM), ::sigismember(&before, SIGTERM));

  EXPECT_EQ(await_address(lookup, 30s), "127.0.0.1");
  ::pthread_attr_destroy(&impossible);
  ::pthread_attr_destroy(&usual);
}

}  // namespace
}  // namespace ptrain::net
