// Sums over real nodes and sockets.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include <gtest/gtest.h>

#include "libcommon/base/log.h"
#include "libcommon/lanes/lane_sums.h"
#include "libcommon/lanes/node_carrier.h"
#include "libcommon/net/credit.h"
#include "libcommon/net/node.h"
#include "libcommon/net/stage_admission.h"
#include "tests/unit/reduce/lane_numbers.h"

namespace ptrain::lanes {
namespace {

using namespace std::chrono_literals;
using reduce::LaneIndex;
using reduce::MemberIndex;
using reduce::SumId;

constexpr std::uint32_t kMembers = 3;
// More goes to each member than the credit window has.
constexpr std::uint64_t kElements = 600 * reduce::kBlockElements + 99;

net::WorkerId worker(std::uint32_t member) {
  return {.key = std::nullopt, .name = "member-" + std::to_string(member)};
}

// One member: a node, who reads its events, and the sums.
class Member {
 public:
  Member(std::uint32_t self, const std::vector<net::Endpoint>& lower, const Clock& clock)
      : node_(options_of(self), admission(self), log_, clock) {
    std::vector<net::WorkerId> workers;
    for (std::uint32_t m = 0; m < kMembers; ++m) {
      workers.push_back(worker(m));
      if (m < self) node_.seek(worker(m), lower[m], StageIndex(m), "a lower member");
      if (m > self) node_.expect(worker(m), StageIndex(m), "a higher member");
    }
    carrier_.emplace(node_, workers);
    sums_.emplace(MemberIndex(self), *carrier_, clock);
    node_.start();
    reader_ = std::thread([this] { read(); });
  }
  ~Member() {
    ending_ = true;
    reader_.join();
    sums_.reset();
  }

  net::Endpoint listening() const { return node_.listening(); }
  LaneSums& sums() { return *sums_; }
  bool await_members() {
    return node_.wait(30s, [](const net::PeerStatus& status) {
      return status.state == net::Session::State::open;
    });
  }
  bool close() { return node_.close(10s); }

 private:
  static net::NodeOptions options_of(std::uint32_t self) {
    net::NodeOptions options;
    options.introduction = {
        .run = "sums", .job_hash = "1", .stage_count = kMembers, .data_fingerprint = ""};
    options.self = StageIndex(self);
    options.listen = net::parse_endpoint("tcp://127.0.0.1:0");
    // Less than any member sends: a credit that did not end would stop the sum.
    options.credit_window = ByteCount(net::kMinCreditWindow);
    return options;
  }
  static std::unique_ptr<net::StageAdmission> admission(std::uint32_t self) {
    std::map<StageIndex, std::optional<net::PublicKey>> higher;
    for (std::uint32_t m = self + 1; m < kMembers; ++m) higher[StageIndex(m)] = std::nullopt;
    return std::make_unique<net::StageAdmission>(std::move(higher), /*keyed=*/false);
  }
  void read() {
    while (!ending_) {
      auto event = node_.next(5ms);
      if (!event) continue;
      if (auto* delivery = std::get_if<net::Delivery>(&*event)) {
        sums_->arrived(*carrier_->member_of(delivery->from), std::move(delivery->message),
                       std::move(delivery->credit));
      } else if (const auto* down = std::get_if<net::Down>(&*event)) {
        sums_->lost(*carrier_->member_of(down->peer),
                    down->error ? down->error->what() : "it said goodbye");
      }
    }
  }

  NullLog log_;
  net::Node node_;
  std::optional<NodeCarrier> carrier_;
  std::optional<LaneSums> sums_;
  std::atomic<bool> ending_ = false;
  std::thread reader_;
};

class NodeSums : public testing::Test {
 protected:
  void SetUp() override {
    std::vector<net::Endpoint> endpoints;
    for (std::uint32_t m = 0; m < kMembers; ++m) {
      members.push_back(std::make_unique<Member>(m, endpoints, clock));
      endpoints.push_back(members.back()->listening());
    }
    for (auto& member : members) ASSERT_TRUE(member->await_members());
  }
  SumOrder order_of(std::uint32_t member, std::uint64_t id) {
    std::vector<float>& lane = lanes[member];
    return {.id = SumId(id),
            .plan = plan,
            .residuals = &none,
            .lanes = {{LaneIndex(member), lane}},
            .sum = lane};
  }

  SteadyClock clock;
  reduce::ReducePlan plan{
      .members = {"a", "b", "c"},
      .holder_of_lane = {MemberIndex(0), MemberIndex(1), MemberIndex(2)},
      .chunks = reduce::cut(kElements, std::vector<double>{1, 2, 1}),
      .piece_elements = reduce::kBlockElements,
      .window_pieces = 16,
  };
  reduce::Residuals none;
  std::vector<std::vector<float>> lanes{reduce::lane_numbers(kElements, 1),
                                        reduce::lane_numbers(kElements, 2),
                                        reduce::lane_numbers(kElements, 3)};
  std::vector<std::unique_ptr<Member>> members;
};

TEST_F(NodeSums, EndInThePlaceOfTheLanesAndAreTheSameEverywhere) {
  std::vector<float> expected = lanes[0];
  for (std::uint64_t i = 0; i < kElements; ++i) expected[i] = lanes[0][i] + lanes[1][i];
  for (std::uint64_t i = 0; i < kElements; ++i) expected[i] = expected[i] + lanes[2][i];
  for (const std::uint32_t m : {2U, 0U, 1U}) members[m]->sums().order(order_of(m, 1));
  for (auto& member : members) ASSERT_TRUE(member->sums().wait(SumId(1), 60s));
  for (const auto& lane : lanes) {
    EXPECT_EQ(std::memcmp(lane.data(), expected.data(), kElements * sizeof(float)), 0);
  }
  // Once more, of what came of it.
  for (std::uint64_t i = 0; i < kElements; ++i) expected[i] = expected[i] + expected[i];
  for (std::uint64_t i = 0; i < kElements; ++i) expected[i] = expected[i] + lanes[2][i];
  for (const std::uint32_t m : {0U, 1U, 2U}) members[m]->sums().order(order_of(m, 2));
  for (auto& member : members) ASSERT_TRUE(member->sums().wait(SumId(2), 60s));
  EXPECT_EQ(std::memcmp(lanes[1].data(), expected.data(), kElements * sizeof(float)), 0);
  EXPECT_TRUE(members[0]->close());
}

TEST_F(NodeSums, ThatAMemberLeavesInEndNamingIt) {
  for (const std::uint32_t m : {0U, 1U}) members[m]->sums().order(order_of(m, 1));
  EXPECT_FALSE(members[0]->sums().wait(SumId(1), 100ms));
  members[2].reset();
  for (const std::uint32_t m : {0U, 1U}) {
    try {
      members[m]->sums().wait(SumId(1), 60s);
      ADD_FAILURE() << "a sum without one of its members";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::unavailable);
      EXPECT_NE(std::string(error.what()).find("c is gone"), std::string::npos) << error.what();
    }
  }
}

}  // namespace
}  // namespace ptrain::lanes
