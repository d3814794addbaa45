// Checkpoints from holders over real sockets: honest, lying, damaged, busy, restarted.

#include "libcommon/transfer/fetch.h"

#include <filesystem>
#include <map>
#include <string>

#include <gmock/gmock.h>

#include "libcommon/base/sha256.h"
#include "libcommon/os/read_file.h"
#include "tests/unit/ckpt/error_of.h"
#include "tests/unit/net/tcp_proxy.h"
#include "tests/unit/transfer/holders.h"

namespace ptrain::transfer {
namespace {

using ckpt::error_of;
using namespace std::chrono_literals;
using testing::AllOf;
using testing::Gt;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

using FetchTest = FetchFixture;
constexpr std::uint64_t kChunk = ckpt::kChunkBytes;

TEST_F(FetchTest, AWholeCheckpointArrivesAndHasTheSameId) {
  RunningHolder holder(serve_options(source.path()), storage);
  const FetchResult result = fetch_from({holder.endpoint()});
  EXPECT_EQ(result.id, id);
  EXPECT_EQ(result.step, Step(7));
  EXPECT_EQ(result.progress.fetched_bytes, ByteCount(data_bytes()));
  EXPECT_THAT(result.repaired, IsEmpty());
  EXPECT_FALSE(result.stopped);
  expect_whole();
  EXPECT_EQ(fetch_from({holder.endpoint()}).progress.fetched_bytes, ByteCount(0));
}

struct LinkedFetchTest : FetchFixture {
  // The step in the target folder is a link to what `seed` makes, saved elsewhere.
  void link_to(std::uint64_t seed) {
    ckpt::CheckpointStore other(storage, elsewhere.path(), "test");
    save(other, Step(7), seed);
    std::filesystem::create_symlink(behind(), step_folder());
  }
  std::filesystem::path behind() const { return elsewhere.path() / ckpt::step_name(Step(7)); }
  std::string refusal(RunningHolder& holder) {
    return error_of([&] { fetch_from({holder.endpoint()}); }, ErrorKind::usage);
  }
  std::map<std::string, Sha256Digest> contents() {
    std::map<std::string, Sha256Digest> files;
    for (const std::string& name : storage.list(behind())) {
      files[name] = sha256(os::read_file(storage, behind() / name, 1 << 30));
    }
    return files;
  }
  os::TemporaryDirectory elsewhere;
};

TEST_F(LinkedFetchTest, AnotherCheckpointBehindALinkIsNotWrittenOver) {
  RunningHolder holder(serve_options(source.path()), storage);
  link_to(2);
  const auto before = contents();
  EXPECT_THAT(refusal(holder), HasSubstr("holds checkpoint"));
  EXPECT_EQ(contents(), before);
}

TEST_F(LinkedFetchTest, TheSameCheckpointBehindALinkIsThereAlready) {
  RunningHolder holder(serve_options(source.path()), storage);
  link_to(1);
  const FetchResult result = fetch_from({holder.endpoint()});
  EXPECT_EQ(result.progress.fetched_bytes, ByteCount(0));
  EXPECT_EQ(result.progress.local_bytes, ByteCount(data_bytes()));
  EXPECT_TRUE(std::filesystem::is_symlink(step_folder()));
  expect_whole();
}

TEST_F(LinkedFetchTest, WhatIsDamagedOrIncompleteBehindALinkIsNotMendedThroughIt) {
  RunningHolder holder(serve_options(source.path()), storage);
  link_to(1);
  flip_bit(behind() / "stage-00.optim.safetensors", kChunk + 5);
  auto before = contents();
  EXPECT_THAT(refusal(holder), HasSubstr("is a symbolic link, and what it leads to is not whole"));
  EXPECT_EQ(contents(), before);
  for (const char* name : {"stage-00.model.safetensors", "stage-01.record.json", "manifest.json"}) {
    std::filesystem::remove(behind() / name);
    before = contents();
    EXPECT_THAT(refusal(holder), HasSubstr("is a symbolic link")) << name;
    EXPECT_EQ(contents(), before) << name;
  }
}

TEST_F(FetchTest, KeysAreUsedWhereTheyAreGiven) {
  const net::KeyPair ours = net::KeyPair::generate();
  auto serving = serve_options(source.path());
  serving.key = net::KeyPair::generate();
  serving.admitted = std::set<net::PublicKey>{ours.public_key()};
  RunningHolder holder(serving, storage);
  auto wanted = options({holder.endpoint()});
  wanted.holders.key = net::KeyPair::generate();
  EXPECT_THAT(error_of([&] { fetch(wanted, storage, log, clock); }, ErrorKind::permission),
              HasSubstr("does not admit our key"));
  wanted.holders.key = ours;
  fetch(wanted, storage, log, clock);
  expect_whole();
}

TEST_F(FetchTest, OneStageAloneIsAHostsShare) {
  RunningHolder holder(serve_options(source.path()), storage);
  auto wanted = options({holder.endpoint()});
  wanted.share = StageIndex(1);
  fetch(wanted, storage, log, clock);
  const ckpt::CheckpointStore here(storage, target.path(), "test");
  EXPECT_TRUE(here.holds(Step(7), StageIndex(1)));
  EXPECT_FALSE(here.holds(Step(7), StageIndex(0)));
  // The rest joins it.
  fetch_from({holder.endpoint()});
  expect_whole();
}

TEST_F(FetchTest, TheTokenizerComesWithTheStageThatEmbeds) {
  RunningHolder holder(serve_options(source.path()), storage);
  auto wanted = options({holder.endpoint()});
  wanted.share = StageIndex(1);
  fetch(wanted, storage, log, clock);
  const auto file = step_folder() / ckpt::tokenizer_file_name(StageIndex(0));
  EXPECT_FALSE(std::filesystem::exists(file));
  fetch_from({holder.endpoint()});
  EXPECT_EQ(ckpt::CheckpointReader(storage, step_folder()).tokenizer()->bytes,
            std::string(5'000'000, 'p'));
  flip_bit(file, kChunk + 1);
  const FetchResult result = fetch_from({holder.endpoint()});
  EXPECT_THAT(result.repaired, SizeIs(1));
  expect_whole();
}

TEST_F(FetchTest, TheHostOfOneStageFetchesTheOthersFromWhoeverHasThem) {
  std::filesystem::copy(source.path(), target.path(), std::filesystem::copy_options::recursive);
  for (const char* name : {"model.safetensors", "optim.safetensors", "record.json"}) {
    std::filesystem::remove(source.path() / "step-00000007" / (std::string("stage-00.") + name));
    std::filesystem::remove(target.path() / "step-00000007" / (std::string("stage-01.") + name));
  }
  RunningHolder holder(serve_options(source.path()), storage);
  const FetchResult result = fetch_from({holder.endpoint()});
  EXPECT_LT(result.progress.fetched_bytes.value(), result.progress.wanted_bytes.value());
  expect_whole();
}

TEST_F(FetchTest, HoldersOfOneStageEachGiveTheWholeBetweenThem) {
  os::TemporaryDirectory other;
  ckpt::CheckpointStore second(storage, other.path(), "test");
  save(second, Step(7));
  for (const std::string name : {"stage-00.model.safetensors", "stage-01.optim.safetensors"}) {
    const bool first = name.starts_with("stage-00");
    std::filesystem::remove((first ? source : other).path() / "step-00000007" / name);
  }
  RunningHolder holder1(serve_options(source.path()), storage);
  RunningHolder holder0(serve_options(other.path()), storage);
  EXPECT_THAT(error_of([&] { fetch_from({holder1.endpoint()}); }, ErrorKind::unavailable),
              HasSubstr("no holder has"));
  const FetchResult result = fetch_from({holder1.endpoint(), holder0.endpoint()});
  expect_whole();
  for (const Holder& holder : result.holders) EXPECT_THAT(holder.bytes.value(), Gt(kChunk));
}

TEST_F(FetchTest, AHolderThatSendsAWrongChunkIsLeftOutAndNamed) {
  Shelf shelf(storage, source.path(), clock);
  ScriptedHolder liar([&](std::uint64_t number, const Request& request) {
    const auto* chunk = std::get_if<ChunkRequest>(&request);
    if (chunk == nullptr || chunk->chunk != 1) return honest(shelf, number, request);
    wire::MutableBuffer wrong(kChunk);
    return bytes_message(number, std::move(wrong).freeze());
  });
  EXPECT_THAT(error_of([&] { fetch_from({liar.endpoint()}); }, ErrorKind::corrupt),
              AllOf(HasSubstr(to_string(liar.endpoint())), HasSubstr("chunk 1 of stage-")));
  RunningHolder holder(serve_options(source.path()), storage);
  const FetchResult result = fetch_from({liar.endpoint(), holder.endpoint()});
  expect_whole();
  ASSERT_THAT(result.holders, SizeIs(2));
  EXPECT_TRUE(result.holders[0].failure || result.holders[0].bytes == ByteCount(0));
  EXPECT_FALSE(result.holders[1].failure);
  EXPECT_THAT(log.all(), HasSubstr("going on without " + to_string(liar.endpoint())));
}

TEST_F(FetchTest, AWrongManifestOrRecordIsNotBelievedEither) {
  RunningHolder holder(serve_options(source.path()), storage);
  Shelf shelf(storage, source.path(), clock);
  for (const std::size_t kind : {1u, 2u}) {  // of Request: manifest, record
    ScriptedHolder liar([&](std::uint64_t number, const Request& request) {
      if (request.index() != kind) return honest(shelf, number, request);
      const std::string wrong = R"({"format":"ptrain-checkpoint"})";
      return bytes_message(number, wire::Buffer::copy_of(std::as_bytes(std::span(wrong))));
    });
    EXPECT_THAT(error_of([&] { fetch_from({liar.endpoint()}); }, ErrorKind::corrupt),
                HasSubstr("another SHA-256"));
    EXPECT_EQ(fetch_from({liar.endpoint(), holder.endpoint()}).id, id);
    expect_whole();
    std::filesystem::remove_all(step_folder());
  }
}

TEST_F(FetchTest, AnswersThatMakeNoSenseEndTheHolderAndNothingElse) {
  RunningHolder holder(serve_options(source.path()), storage);
  Shelf shelf(storage, source.path(), clock);
  const ScriptedHolder::Script scripts[] = {
      [&](std::uint64_t number, const Request& request) {  // an answer to nothing
        return honest(shelf, number + 1000, request);
      },
      [&](std::uint64_t number, const Request&) {  // bytes for a list
        return bytes_message(number, wire::Buffer());
      },
      [&](std::uint64_t number, const Request&) {  // no Cap'n Proto
        wire::Message message = answer_message(number, Refusal{});
        message.payload = wire::Buffer::copy_of(std::as_bytes(std::span("nonsense")));
        return message;
      },
      [&](std::uint64_t number, const Request& request) {  // refuses everything but the list
        if (request.index() == 0) return honest(shelf, number, request);
        return answer_message(number, Refusal{Refusal::Kind::not_here, "no"});
      }};
  for (const auto& script : scripts) {
    ScriptedHolder odd(script);
    fetch_from({odd.endpoint(), holder.endpoint()});
    expect_whole();
    std::filesystem::remove_all(step_folder());
  }
}

TEST_F(FetchTest, AHolderThatListsWhatItDoesNotHaveDoesNotKeepTheOthersFromBeingUsed) {
  RunningHolder holder(serve_options(source.path()), storage);
  ScriptedHolder boaster([&](std::uint64_t number, const Request& request) {
    if (request.index() != 0) return answer_message(number, Refusal{});
    const Entry newest{.step = Step(1'000'000),
                       .id = {sha256("nothing")},
                       .stage_count = 1,
                       .held = {StageIndex(0)}};
    return answer_message(number, Listing{newest});
  });
  EXPECT_EQ(fetch_from({boaster.endpoint(), holder.endpoint()}).id, id);
  expect_whole();
}

// ---- Holders that lie about what they have, beside an honest one.

struct LiarsTest : FetchTest {
  RunningHolder honest_one{serve_options(source.path()), storage};
  Shelf shelf{storage, source.path(), clock};

  // Lists `entry` in place of what there is, and answers as `script` says.
  ScriptedHolder::Script boasting(Entry entry, ScriptedHolder::Script script) {
    return [entry, script](std::uint64_t number, const Request& request) {
      if (request.index() == 0) return std::optional(answer_message(number, Listing{entry}));
      return script(number, request);
    };
  }
  static Entry whole(Step step, const ckpt::CheckpointId& id) {
    return {.step = step, .id = id, .stage_count = 2, .held = {StageIndex(0), StageIndex(1)}};
  }
  static std::optional<wire::Message> refuse(std::uint64_t number, const Request&) {
    return answer_message(number, Refusal{});
  }
  static std::optional<wire::Message> say_nothing(std::uint64_t, const Request&) {
    return std::nullopt;
  }
  static ScriptedHolder::Script say(const std::string& text) {
    return [text](std::uint64_t number, const Request&) {
      return bytes_message(number, wire::Buffer::copy_of(std::as_bytes(std::span(text))));
    };
  }
  FetchOptions impatient(const std::vector<net::Endpoint>& from) {
    FetchOptions wanted = options(from);
    wanted.patience = {.others = 300ms, .next = 200ms, .manifest = 400ms};
    wanted.holders.patience = 5s;
    return wanted;
  }
  // The honest holder's checkpoint arrives, by each way to ask for it, and the liar is left out.
  void expect_honest_wins(const ScriptedHolder::Script& script) {
    for (const std::string which : {"latest", "7"}) {
      SCOPED_TRACE(which);
      ScriptedHolder liar(script);
      FetchOptions wanted = impatient({liar.endpoint(), honest_one.endpoint()});
      wanted.which = which;
      const TimePoint begin = clock.now();
      EXPECT_EQ(find_held(wanted, storage, log, clock)->id, id);
      const FetchResult result = fetch(wanted, storage, log, clock);
      EXPECT_EQ(result.id, id);
      EXPECT_LT(clock.now() - begin, 45s) << "less than a holder is waited for otherwise";
      expect_whole();
      std::filesystem::remove_all(step_folder());
    }
  }
};

TEST_F(LiarsTest, ARandomIdForTheLatestStepIsPassedOver) {
  expect_honest_wins(boasting(whole(Step(7), {sha256("nothing")}), refuse));
  EXPECT_THAT(log.all(), HasSubstr("does not give its manifest"));
}

TEST_F(LiarsTest, AnIdThatIsTheHashOfGarbageIsPassedOver) {
  expect_honest_wins(boasting(whole(Step(7), {sha256("garbage")}), say("garbage")));
  expect_honest_wins(boasting(whole(Step(1'000'000), {sha256("garbage")}), say("garbage")));
}

TEST_F(LiarsTest, TheHonestIdUnderAnotherStepOrNumberOfStagesIsPassedOver) {
  const auto answer = [this](std::uint64_t number, const Request& request) {
    return std::optional(honest(shelf, number, request));
  };
  expect_honest_wins(boasting(whole(Step(1'000'000), id), answer));
  Entry larger = whole(Step(7), id);
  larger.stage_count = 64;
  expect_honest_wins(boasting(larger, answer));
}

TEST_F(LiarsTest, WhoShowsNoManifestIsPassedOverAfterSeconds) {
  expect_honest_wins(boasting(whole(Step(1'000'000), {sha256("nothing")}), say_nothing));
  expect_honest_wins(boasting(whole(Step(7), id), say_nothing));
}

TEST_F(LiarsTest, AManifestThatIsRealWithRecordsThatNobodyGivesIsPassedOver) {
  os::TemporaryDirectory other;
  ckpt::CheckpointStore later(storage, other.path(), "test");
  const ckpt::CheckpointId theirs = save(later, Step(9), 2);
  Shelf their_shelf(storage, other.path(), clock);
  ScriptedHolder liar([&](std::uint64_t number, const Request& request) {
    if (request.index() < 2) return honest(their_shelf, number, request);
    return answer_message(number, Refusal{});
  });
  EXPECT_EQ(fetch(impatient({liar.endpoint(), honest_one.endpoint()}), storage, log, clock).id, id);
  expect_whole();
  FetchOptions named = impatient({liar.endpoint(), honest_one.endpoint()});
  named.which = theirs.hex();
  EXPECT_THAT(error_of([&] { fetch(named, storage, log, clock); }, ErrorKind::unavailable),
              HasSubstr("no holder can give stage-00.record.json"));
}

TEST_F(LiarsTest, ChunksThatSeveralOweAndNeverSendComeFromTheHonestOne) {
  const auto tease = [this](std::uint64_t number, const Request& request) {
    if (request.index() == 3) return std::optional<wire::Message>();
    return std::optional(honest(shelf, number, request));
  };
  ScriptedHolder first(tease);
  ScriptedHolder second(tease);
  ScriptedHolder third(tease);
  fetch(impatient({first.endpoint(), second.endpoint(), third.endpoint(), honest_one.endpoint()}),
        storage, log, clock);
  expect_whole();
}

TEST_F(LiarsTest, WhoIsSlowerThanTheLeastRateIsLeftOut) {
  ScriptedHolder slow([&](std::uint64_t number, const Request& request) {
    if (request.index() == 3) std::this_thread::sleep_for(300ms);
    return honest(shelf, number, request);
  });
  FetchOptions wanted = impatient({slow.endpoint()});
  wanted.holders.patience = 2500ms;  // less than its twelve chunks take
  wanted.holders.least_bytes_per_s = 100'000'000'000;
  EXPECT_THAT(error_of([&] { fetch(wanted, storage, log, clock); }, ErrorKind::unavailable),
              HasSubstr("bytes in"));
  wanted.holders.least_bytes_per_s = 1;
  fetch(wanted, storage, log, clock);
  expect_whole();
}

TEST_F(FetchTest, AFlippedBitIsFoundNamedAndRepairedByOneChunk) {
  RunningHolder holder(serve_options(source.path()), storage);
  fetch_from({holder.endpoint()});
  flip_bit(step_folder() / "stage-00.optim.safetensors", kChunk + 12345);
  const FetchResult result = fetch_from({holder.endpoint()});
  ASSERT_THAT(result.repaired, SizeIs(1));
  EXPECT_EQ(result.repaired[0].file, "stage-00.optim.safetensors");
  EXPECT_EQ(result.repaired[0].chunk, 1u);
  EXPECT_EQ(result.repaired[0].begin, ByteCount(kChunk));
  EXPECT_LE(result.progress.fetched_bytes, ByteCount(kChunk));
  expect_whole();
}

TEST_F(FetchTest, WhateverIsDamagedOrMissingHereComesBack) {
  RunningHolder holder(serve_options(source.path()), storage);
  fetch_from({holder.endpoint()});
  namespace fs = std::filesystem;
  const auto file = [&](const char* name) { return step_folder() / name; };
  const std::function<void()> damages[] = {
      [&] { fs::remove(file("stage-01.model.safetensors")); },
      [&] { fs::resize_file(file("stage-01.optim.safetensors"), kChunk + 1); },
      [&] { fs::remove(file("stage-00.record.json")); },
      [&] { flip_bit(file("stage-00.record.json"), 40); },
      [&] { fs::remove(file("manifest.json")); },
      [&] { flip_bit(file("manifest.json"), 40); }};
  for (const auto& damage : damages) {
    damage();
    const FetchResult result = fetch_from({holder.endpoint()});
    EXPECT_LE(result.progress.fetched_bytes, ByteCount(2 * kChunk));
    expect_whole();
  }
}

TEST_F(FetchTest, AnotherCheckpointOfTheSameStepIsNotWrittenOver) {
  ckpt::CheckpointStore here(storage, target.path(), "test");
  const auto other = save(here, Step(7), 2);
  RunningHolder holder(serve_options(source.path()), storage);
  EXPECT_THAT(error_of([&] { fetch_from({holder.endpoint()}); }, ErrorKind::usage),
              AllOf(HasSubstr(other.hex()), HasSubstr(id.hex())));
  EXPECT_EQ(ckpt::CheckpointReader(storage, step_folder()).id(), other);
}

TEST_F(FetchTest, AFetchThatIsStoppedGoesOnWhereItEnded) {
  RunningHolder holder(serve_options(source.path()), storage);
  auto wanted = options({holder.endpoint()});
  std::uint64_t came = 0;
  wanted.progress = [&](const FetchProgress& progress) { came = progress.fetched_bytes.value(); };
  wanted.stop = [&] { return came >= 2 * kChunk; };
  const FetchResult stopped = fetch(wanted, storage, log, clock);
  EXPECT_TRUE(stopped.stopped);
  EXPECT_FALSE(std::filesystem::exists(step_folder() / "manifest.json"));
  const FetchResult rest = fetch_from({holder.endpoint()});
  EXPECT_EQ(rest.progress.fetched_bytes.value() + came, data_bytes());
  expect_whole();
}

TEST_F(FetchTest, CutConnectionsDoNotMatter) {
  RunningHolder holder(serve_options(source.path()), storage);
  net::TcpProxy proxy(holder.endpoint().port, 6'000'000, 11);
  const FetchResult result = fetch_from({net::parse_endpoint(proxy.endpoint())});
  EXPECT_EQ(result.progress.fetched_bytes, ByteCount(data_bytes()));
  EXPECT_GE(proxy.cuts(), 2);
  expect_whole();
}

TEST_F(FetchTest, AHolderThatIsRestartedIsAskedAgain) {
  auto serving = serve_options(source.path());
  auto holder = std::make_unique<RunningHolder>(serving, storage);
  serving.listen = holder->endpoint();
  auto wanted = options({holder->endpoint()});
  bool restarted = false;
  wanted.progress = [&](const FetchProgress& progress) {
    if (restarted || progress.fetched_bytes.value() < 2 * kChunk) return;
    restarted = true;
    holder.reset();
    holder = std::make_unique<RunningHolder>(serving, storage);
  };
  fetch(wanted, storage, log, clock);
  EXPECT_TRUE(restarted);
  expect_whole();
}

TEST_F(FetchTest, ABusyHolderSaysWhereElseToGo) {
  auto serving = serve_options(source.path());
  serving.max_clients = 1;
  serving.alternatives = {net::parse_endpoint("tcp://10.0.0.7:7000")};
  RunningHolder holder(serving, storage);
  net::SeekingNode first(net::seeking_options(introduction()), log, clock);
  first.dial(holder.endpoint());
  while (!first.next(100ms)) continue;
  EXPECT_THAT(error_of([&] { fetch_from({holder.endpoint()}); }, ErrorKind::try_again),
              AllOf(HasSubstr("it serves 1 clients already"), HasSubstr("tcp://10.0.0.7:7000")));
}

TEST_F(FetchTest, AHolderWhoseOwnCopyIsDamagedSaysSoAndAnotherHelps) {
  flip_bit(source.path() / "step-00000007" / "stage-01.model.safetensors", 99);
  RunningHolder damaged(serve_options(source.path()), storage);
  EXPECT_THAT(error_of([&] { fetch_from({damaged.endpoint()}); }, ErrorKind::unavailable),
              HasSubstr("no holder can give chunk 0 of stage-01.model.safetensors"));
  os::TemporaryDirectory other;
  ckpt::CheckpointStore second(storage, other.path(), "test");
  save(second, Step(7));
  RunningHolder whole(serve_options(other.path()), storage);
  const FetchResult result = fetch_from({damaged.endpoint(), whole.endpoint()});
  expect_whole();
  for (const Holder& holder : result.holders) EXPECT_FALSE(holder.failure);
}

TEST_F(FetchTest, TheRateIsKept) {
  RunningHolder holder(serve_options(source.path()), storage);
  auto wanted = options({holder.endpoint()});
  wanted.rate_bytes_per_s = ByteCount(data_bytes());  // all of it in one second
  const TimePoint begin = clock.now();
  fetch(wanted, storage, log, clock);
  // The first chunk is not waited for.
  const double least = 1 - static_cast<double>(kChunk) / static_cast<double>(data_bytes());
  EXPECT_GE(seconds(clock.now() - begin), 0.9 * least);
  expect_whole();
}

TEST_F(FetchTest, WhoNobodyAnswersIsNamedAndTheOthersGoOn) {
  const net::Endpoint nobody = net::parse_endpoint("tcp://127.0.0.1:1");
  auto alone = options({nobody});
  alone.holders.connect_timeout = 3s;  // in which an attempt must fail
  EXPECT_THAT(error_of([&] { fetch(alone, storage, log, clock); }, ErrorKind::unavailable),
              AllOf(HasSubstr("tcp://127.0.0.1:1"), HasSubstr("refused")));
  RunningHolder holder(serve_options(source.path()), storage);
  fetch_from({nobody, holder.endpoint()});
  expect_whole();
}

TEST_F(FetchTest, WhatNobodyHasIsSaidWithWhatThereIs) {
  RunningHolder holder(serve_options(source.path()), storage);
  auto wanted = options({holder.endpoint()});
  wanted.which = "8";
  EXPECT_THAT(error_of([&] { fetch(wanted, storage, log, clock); }, ErrorKind::unavailable),
              AllOf(HasSubstr("no holder has 8"), HasSubstr("step-00000007")));
}

}  // namespace
}  // namespace ptrain::transfer
