// What a holder gives out, and what it does not.

#include "libcommon/transfer/shelf.h"

#include <gmock/gmock.h>

#include "tests/unit/transfer/holders.h"

namespace ptrain::transfer {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

struct ShelfTest : FetchFixture {
  FakeClock time;
  Shelf shelf{storage, source.path(), time};

  Refusal refusal(Shelf::Piece piece) { return std::get<Refusal>(std::move(piece)); }
};

TEST_F(ShelfTest, ListsTheNewestFirstWithTheStagesThatAreHere) {
  save(store, Step(9));
  std::filesystem::remove(source.path() / "step-00000009" / "stage-00.record.json");
  std::filesystem::create_directory(source.path() / "step-00000011");
  const Listing listing = shelf.list();
  ASSERT_THAT(listing, SizeIs(2));
  EXPECT_EQ(listing[0].step, Step(9));
  EXPECT_EQ(listing[0].held, std::vector<StageIndex>{StageIndex(1)});
  EXPECT_EQ(listing[1].id, id);
  EXPECT_EQ(listing[1].stage_count, 2u);
}

TEST_F(ShelfTest, NewCheckpointsAreSeenAfterAMoment) {
  EXPECT_THAT(shelf.list(), SizeIs(1));
  const auto newer = save(store, Step(8));
  EXPECT_EQ(refusal(shelf.manifest(newer)).kind, Refusal::Kind::not_here);
  time.advance(kShelfRefresh);
  EXPECT_TRUE(std::holds_alternative<wire::Buffer>(shelf.manifest(newer)));
  EXPECT_THAT(shelf.list(), SizeIs(2));
}

TEST_F(ShelfTest, ACheckpointThatIsRemovedMeanwhileIsRefused) {
  EXPECT_THAT(shelf.list(), SizeIs(1));
  store.remove_step(Step(7));
  EXPECT_EQ(refusal(shelf.chunk({.id = id, .stage = StageIndex(0)})).kind, Refusal::Kind::not_here);
  time.advance(kShelfRefresh);
  EXPECT_THAT(shelf.list(), IsEmpty());
}

TEST_F(ShelfTest, DamageIsSaidInsteadOfSentAndNoPathIsTold) {
  flip_bit(source.path() / "step-00000007" / "stage-00.model.safetensors", 100);
  const Refusal said = refusal(shelf.chunk({.id = id, .stage = StageIndex(0)}));
  EXPECT_EQ(said.kind, Refusal::Kind::damaged);
  EXPECT_EQ(said.why.find(source.path().string()), std::string::npos);
  flip_bit(source.path() / "step-00000007" / "stage-01.record.json", 100);
  EXPECT_EQ(refusal(shelf.record(id, StageIndex(1))).kind, Refusal::Kind::damaged);
}

TEST_F(ShelfTest, TheLastChunkIsShorterAndTheOneAfterItIsNotThere) {
  const auto record = store.read_record(Step(7), StageIndex(0));
  const auto last = static_cast<std::uint32_t>(record.model.chunk_sha256.size() - 1);
  const auto piece = shelf.chunk({.id = id, .stage = StageIndex(0), .chunk = last});
  EXPECT_EQ(std::get<wire::Buffer>(piece).size(),
            record.model.file.bytes.value() - last * ckpt::kChunkBytes);
  EXPECT_THAT(refusal(shelf.chunk({.id = id, .stage = StageIndex(0), .chunk = last + 1})).why,
              HasSubstr("chunks"));
}

}  // namespace
}  // namespace ptrain::transfer
