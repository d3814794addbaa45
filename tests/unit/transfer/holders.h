// Holders for tests: real ones over real sockets, and ones that misbehave.

#pragma once

#include <atomic>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "libcommon/ckpt/checkpoint_reader.h"
#include "libcommon/os/storage.h"
#include "libcommon/transfer/checkpoint_server.h"
#include "libcommon/transfer/fetch.h"
#include "tests/unit/ckpt/sample_checkpoint.h"
#include "tests/unit/net/messages.h"
#include "tests/unit/net/serving.h"
#include "tests/unit/os/temporary_directory.h"

namespace ptrain::transfer {

inline ServeOptions serve_options(const std::filesystem::path& directory) {
  ServeOptions options;
  options.directory = directory;
  options.listen = net::parse_endpoint("tcp://127.0.0.1:0");
  return options;
}

// A CheckpointServer and the thread that runs it.
class RunningHolder {
 public:
  RunningHolder(ServeOptions options, os::Storage& storage)
      : server_(std::move(options), storage, log_, clock_),
        thread_([this] { server_.run([this] { return stop_.load(); }); }) {}
  ~RunningHolder() {
    stop_ = true;
    thread_.join();
  }
  net::Endpoint endpoint() const { return server_.listening(); }
  const net::RecordingLog& log() const { return log_; }

 private:
  net::RecordingLog log_;
  SteadyClock clock_;
  CheckpointServer server_;
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

// A holder that answers as a test wants: with a message, or not at all.
class ScriptedHolder {
 public:
  using Script = std::function<std::optional<wire::Message>(std::uint64_t, const Request&)>;
  explicit ScriptedHolder(Script script)
      : script_(std::move(script)),
        server_(net::serving_options(introduction()), {}, log_, clock_),
        thread_([this] { run(); }) {}
  ~ScriptedHolder() {
    stop_ = true;
    thread_.join();
  }
  net::Endpoint endpoint() const { return server_.listening(); }

 private:
  void run() {
    while (!stop_) {
      const auto event = server_.next(std::chrono::milliseconds(50));
      const auto* asked = event ? std::get_if<net::Delivery>(&*event) : nullptr;
      if (asked == nullptr) continue;
      const auto request = std::get<Request>(read_request(asked->message));
      if (auto answer = script_(asked->message.name.step.value(), request)) {
        server_.send(asked->from, std::move(*answer));
      }
    }
  }
  Script script_;
  net::RecordingLog log_;
  SteadyClock clock_;
  net::ServingNode server_;
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

// What an honest holder of that folder would answer.
inline wire::Message honest(Shelf& shelf, std::uint64_t number, const Request& request) {
  if (std::holds_alternative<ListRequest>(request)) return answer_message(number, shelf.list());
  Shelf::Piece piece = Refusal{};
  if (const auto* m = std::get_if<ManifestRequest>(&request)) piece = shelf.manifest(m->id);
  if (const auto* r = std::get_if<RecordRequest>(&request)) piece = shelf.record(r->id, r->stage);
  if (const auto* c = std::get_if<ChunkRequest>(&request)) piece = shelf.chunk(*c);
  if (auto* refusal = std::get_if<Refusal>(&piece)) return answer_message(number, *refusal);
  return bytes_message(number, std::get<wire::Buffer>(std::move(piece)));
}

// A checkpoint of two stages in several chunks, in a folder of its own, and another folder
// to fetch it into.
struct FetchFixture : testing::Test {
  os::TemporaryDirectory source;
  os::TemporaryDirectory target;
  os::PosixStorage storage;
  SteadyClock clock;
  net::RecordingLog log;
  ckpt::CheckpointStore store{storage, source.path(), "test"};
  ckpt::CheckpointId id;

  FetchFixture() { id = save(store, Step(7)); }

  static ckpt::SampleCheckpoint sample(Step step, std::uint64_t seed = 1) {
    return ckpt::SampleCheckpoint(
        step, {.seed = seed, .hidden_size = 256, .tokenizer = std::string(5'000'000, 'p')});
  }
  static ckpt::CheckpointId save(ckpt::CheckpointStore& into, Step step, std::uint64_t seed = 1) {
    return sample(step, seed).save(into, {2, 4});
  }

  FetchOptions options(const std::vector<net::Endpoint>& from) {
    FetchOptions result;
    result.holders.endpoints = from;
    result.holders.connect_timeout = std::chrono::seconds(10);
    result.directory = target.path();
    return result;
  }
  FetchResult fetch_from(const std::vector<net::Endpoint>& from) {
    return fetch(options(from), storage, log, clock);
  }

  std::filesystem::path step_folder(Step step = Step(7)) {
    return target.path() / ckpt::step_name(step);
  }
  // The checkpoint in the target folder is whole, to the last byte, and the same one.
  void expect_whole(Step step = Step(7)) {
    const ckpt::CheckpointReader reader(storage, step_folder(step));
    EXPECT_EQ(reader.id(), id);
    reader.verify_data();
  }
  static void flip_bit(const std::filesystem::path& path, std::uint64_t offset) {
    std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
    file.seekg(static_cast<std::streamoff>(offset));
    const char byte = static_cast<char>(file.get() ^ 4);
    file.seekp(static_cast<std::streamoff>(offset));
    file.put(byte);
    ASSERT_TRUE(file.good()) << path;
  }
  std::uint64_t data_bytes() {
    std::uint64_t sum = 0;
    for (const auto& file : ckpt::files(store.read_manifest(Step(7)))) {
      if (!file.name.ends_with(".json")) sum += file.bytes.value();
    }
    return sum;
  }
};

}  // namespace ptrain::transfer
