// Clients that a holder must survive, with an honest one beside them that is not disturbed.

#include <atomic>

#include <gmock/gmock.h>

#include "libcommon/net/credit.h"
#include "tests/unit/ckpt/error_of.h"
#include "tests/unit/transfer/holders.h"

namespace ptrain::transfer {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

// Counts the chunks that are read: what a holder has taken into its memory.
class CountingStorage final : public os::Storage {
 public:
  using Path = std::filesystem::path;
  std::unique_ptr<os::ReadableFile> open(const Path& path) override {
    if (path.extension() == ".safetensors") ++opened_;
    return real_.open(path);
  }
  int opened() const { return opened_; }

  std::unique_ptr<os::WritableFile> create(const Path& p) override { return real_.create(p); }
  std::unique_ptr<os::UpdatableFile> open_for_update(const Path& p) override {
    return real_.open_for_update(p);
  }
  std::optional<os::FileStatus> status(const Path& p) override { return real_.status(p); }
  std::vector<std::string> list(const Path& p) override { return real_.list(p); }
  void rename(const Path& from, const Path& to) override { real_.rename(from, to); }
  bool remove(const Path& p) override { return real_.remove(p); }
  bool create_directory(const Path& p) override { return real_.create_directory(p); }
  void sync_file(const Path& p) override { real_.sync_file(p); }
  void sync_directory(const Path& p) override { real_.sync_directory(p); }

 private:
  os::PosixStorage real_;
  std::atomic<int> opened_ = 0;
};

struct HostileClient : FetchFixture {
  CountingStorage counting;
  RunningHolder holder{serve_options(source.path()), counting};
  net::SeekingNode client{client_options(), log, clock};
  net::WorkerId server = client.dial(holder.endpoint());

  static net::NodeOptions client_options() {
    net::NodeOptions options = net::seeking_options(introduction());
    options.credit_window = ByteCount(net::kMinCreditWindow);
    return options;
  }

  template <class Event>
  Event next() {
    const auto deadline = std::chrono::steady_clock::now() + 20s;
    while (std::chrono::steady_clock::now() < deadline) {
      auto event = client.next(100ms);
      if (event && std::holds_alternative<Event>(*event)) return std::get<Event>(std::move(*event));
    }
    throw std::runtime_error("the event did not come");
  }
  std::string reason_of_dismissal() {
    const auto lost = next<net::Down>();
    return lost.error ? lost.error->what() : "it said goodbye";
  }
  void expect_undisturbed() {
    fetch_from({holder.endpoint()});
    expect_whole();
  }
  Refusal refusal_of(const Request& request) {
    client.send(server, request_message(1, request));
    return std::get<Refusal>(std::get<Answer>(read_answer(next<net::Delivery>().message)));
  }
};

TEST_F(HostileClient, GarbageInsteadOfARequestEndsTheSession) {
  next<net::Up>();
  wire::Message garbage = request_message(1, ListRequest{});
  garbage.payload = wire::Buffer::copy_of(std::as_bytes(std::span("0123456789abcdef", 16)));
  client.send(server, garbage);
  EXPECT_THAT(reason_of_dismissal(), HasSubstr("failed: "));
  expect_undisturbed();
}

TEST_F(HostileClient, MessagesOfTrainingAreNoRequests) {
  next<net::Up>();
  client.send(server, net::test_message(1, 1, 500));
  EXPECT_THAT(reason_of_dismissal(), HasSubstr("no request"));
  expect_undisturbed();
}

TEST_F(HostileClient, AnOversizedRequestEndsTheSession) {
  next<net::Up>();
  client.send(server, net::test_message(1, 1, 100'000, wire::MessageKind::transfer_request));
  EXPECT_THAT(reason_of_dismissal(), HasSubstr("at most 1024 allowed"));
  expect_undisturbed();
}

TEST_F(HostileClient, AFloodOfRequestsEndsTheSession) {
  next<net::Up>();
  bool sent = true;
  for (std::uint64_t i = 0; i < 100'000 && sent; ++i) {
    sent = client.send(server, request_message(i, ChunkRequest{.id = id}));
  }
  EXPECT_THAT(reason_of_dismissal(), HasSubstr("more than 64 requests at once"));
  EXPECT_LT(counting.opened(), 200);
  expect_undisturbed();
}

TEST_F(HostileClient, WhatIsNotThereIsRefusedAndNothingElseHappens) {
  next<net::Up>();
  const ckpt::CheckpointId unknown{sha256("unknown")};
  EXPECT_EQ(refusal_of(ManifestRequest{unknown}).kind, Refusal::Kind::not_here);
  EXPECT_EQ(refusal_of(RecordRequest{unknown, StageIndex(0)}).kind, Refusal::Kind::not_here);
  EXPECT_EQ(refusal_of(ChunkRequest{.id = unknown}).kind, Refusal::Kind::not_here);
  EXPECT_THAT(refusal_of(RecordRequest{id, StageIndex(2)}).why, HasSubstr("stage 2"));
  EXPECT_THAT(refusal_of(ChunkRequest{.id = id, .stage = StageIndex(999)}).why,
              HasSubstr("stage 999"));
  EXPECT_THAT(refusal_of(ChunkRequest{.id = id, .chunk = 0xffffffff}).why, HasSubstr("chunks"));
  expect_undisturbed();
}

TEST_F(HostileClient, AReaderThatDoesNotReadHoldsABoundedQueue) {
  next<net::Up>();
  for (std::uint64_t i = 0; i < kMaxRequestsInFlight; ++i) {
    client.send(server, request_message(i, ChunkRequest{.id = id, .part = Part::optim}));
  }
  // Nobody takes what is sent: the holder reads until the queue is full, and no further.
  const auto most = static_cast<int>(kClientQueueBytes / ckpt::kChunkBytes) + 2;
  expect_undisturbed();
  std::this_thread::sleep_for(300ms);
  int for_the_fetch = 0;
  for (const auto& file : ckpt::files(store.read_manifest(Step(7)))) {
    const std::uint64_t chunks = (file.bytes.value() - 1) / ckpt::kChunkBytes + 1;
    if (file.name.ends_with(".safetensors")) for_the_fetch += static_cast<int>(chunks);
  }
  EXPECT_LE(counting.opened() - for_the_fetch, most);
}

}  // namespace
}  // namespace ptrain::transfer
