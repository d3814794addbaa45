#include "libcommon/transfer/fetch.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/base/sha256.h"
#include "libcommon/ckpt/store.h"
#include "libcommon/os/atomic_file.h"
#include "libcommon/os/read_file.h"
#include "libcommon/transfer/chunk_fetch.h"
#include "libcommon/transfer/complete_step.h"

namespace ptrain::transfer {
namespace {

constexpr Duration kStopQuestionInterval = std::chrono::milliseconds(100);
// For the other holders to be heard, once one has said what it has.
constexpr Duration kGrace = std::chrono::seconds(3);

// Told to stop; caught in run().
struct Stopped {};

std::string_view text_of(const wire::Buffer& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

class Fetch {
 public:
  Fetch(const FetchOptions& options, os::Storage& storage, Log& log, const Clock& clock)
      : options_(options),
        storage_(storage),
        clock_(clock),
        store_(storage, options.directory, options.writer),
        pool_(options.holders, log, clock) {}

  FetchResult run();
  // The checkpoint that `which` names, once enough holders have said what they have.
  std::optional<Entry> choose_when_known();

 private:
  using Check = std::function<bool(const wire::Buffer&)>;
  std::optional<wire::Buffer> obtain(const Request& request,
                                     const std::function<bool(const Holder&)>& has,
                                     const Check& is_right);
  std::optional<HolderIndex> untried(const std::set<HolderIndex>& tried,
                                     const std::function<bool(const Holder&)>& has) const;
  std::optional<wire::Buffer> await_answer(HolderIndex holder, const Request& request);
  std::optional<HolderEvent> wait();
  std::vector<Listing> known_listings() const;

  void bring(const ckpt::Manifest& manifest);
  std::optional<ckpt::Manifest> obtain_manifest(const ckpt::CheckpointId& id);
  ckpt::StageRecord obtain_record(const ckpt::Manifest& manifest, StageIndex stage);
  Mending check_folder(const ckpt::Manifest& manifest) const;
  void inspect(std::vector<WantedFile>& files);
  Error nothing_found() const;

  const FetchOptions& options_;
  os::Storage& storage_;
  const Clock& clock_;
  ckpt::CheckpointStore store_;
  HolderPool pool_;
  FetchResult result_;
  std::map<StageIndex, ckpt::StageRecord> records_;
  // Whose manifest nobody gives, whoever lists them: a holder cannot keep others from being used.
  std::set<ckpt::CheckpointId> hollow_;
};

FetchResult Fetch::run() {
  try {
    while (true) {
      const auto entry = choose_when_known();
      if (!entry) throw nothing_found();
      result_.id = entry->id;
      if (const auto manifest = obtain_manifest(entry->id)) {
        bring(*manifest);
        break;
      }
      hollow_.insert(entry->id);
    }
  } catch (const Stopped&) {
    result_.stopped = true;
  }
  result_.holders = pool_.holders();
  return std::move(result_);
}

void Fetch::bring(const ckpt::Manifest& manifest) {
  if (options_.accept) options_.accept(manifest);
  result_.step = manifest.run.step;
  result_.weights_sha256 = to_hex(manifest.weights_sha256);
  const Mending mending = check_folder(manifest);
  const auto folder = store_.step_directory(manifest.run.step);
  for (const StageIndex stage : wanted_stages(manifest, options_.share)) {
    records_.emplace(stage, obtain_record(manifest, stage));
  }
  std::vector<WantedFile> files;
  for (const auto& [stage, record] : records_) {
    files.push_back(
        {stage, Part::model, {storage_, folder, record.model, mending, store_.writer()}});
    if (!record.optim) continue;
    files.push_back(
        {stage, Part::optim, {storage_, folder, *record.optim, mending, store_.writer()}});
  }
  os::create_directories_durably(storage_, folder);
  inspect(files);
  ChunkFetch chunks(result_.id, files, pool_, RateLimit(options_.rate_bytes_per_s, clock_.now()),
                    clock_);
  const bool whole = chunks.run(options_.stop, [&](ByteCount bytes) {
    FetchProgress& progress = result_.progress;
    progress.local_bytes = ByteCount(progress.local_bytes.value() + bytes.value());
    progress.fetched_bytes = ByteCount(progress.fetched_bytes.value() + bytes.value());
    options_.progress(progress);
  });
  if (!whole) throw Stopped();
  std::vector<LocalFile*> local;
  for (WantedFile& file : files) local.push_back(&file.local);
  complete_step(storage_, store_, manifest, records_, local);
}

// ---- What there is, and what is asked for once.

std::vector<Listing> Fetch::known_listings() const {
  std::vector<Listing> listings;
  for (const Holder& holder : pool_.holders()) {
    if (holder.state != Holder::State::ready) continue;
    listings.push_back(holder.listing);
    std::erase_if(listings.back(), [&](const Entry& e) { return hollow_.contains(e.id); });
  }
  return listings;
}

std::optional<HolderEvent> Fetch::wait() {
  if (options_.stop()) throw Stopped();
  return pool_.wait(kStopQuestionInterval);
}

std::optional<Entry> Fetch::choose_when_known() {
  std::optional<TimePoint> first_ready;
  while (true) {
    const auto listings = known_listings();
    if (!listings.empty() && !first_ready) first_ready = clock_.now();
    const bool all_heard = !pool_.any_coming();
    const bool long_enough = first_ready && clock_.now() - *first_ready >= kGrace;
    if (all_heard && !pool_.any_left()) throw pool_.exhausted();
    if (all_heard) return choose(listings, options_.which, options_.share);
    if (long_enough) {
      // What is lacking, a holder that is still on its way may have.
      try {
        if (auto entry = choose(listings, options_.which, options_.share)) return entry;
      } catch (const Error& error) {
        if (error.kind() != ErrorKind::unavailable) throw;
      }
    }
    wait();
  }
}

Error Fetch::nothing_found() const {
  std::string held;
  for (const Entry& entry : merged(known_listings())) {
    held += fmt::format("{}{} ({})", held.empty() ? "" : ", ", ckpt::step_name(entry.step),
                        entry.id.hex().substr(0, ckpt::CheckpointStore::kMinIdPrefix));
  }
  std::string wanted = options_.which;
  if (wanted == "latest") {
    const auto* stage = std::get_if<StageIndex>(&options_.share);
    wanted = stage != nullptr ? fmt::format("stage {} of a checkpoint", stage->value())
                              : "a whole checkpoint";
  }
  return Error(
      ErrorKind::unavailable,
      fmt::format("no holder has {}: they have {}", wanted, held.empty() ? "nothing" : held),
      "name another holder with --from");
}

// Asks one holder after the other until one gives what is right; nullopt when none does. Who gives
// what is not right is left out.
std::optional<wire::Buffer> Fetch::obtain(const Request& request,
                                          const std::function<bool(const Holder&)>& has,
                                          const Check& is_right) {
  std::set<HolderIndex> tried;
  while (true) {
    const auto holder = untried(tried, has);
    if (!holder && !pool_.any_left()) throw pool_.exhausted();
    if (!holder && !pool_.any_coming()) return std::nullopt;
    if (!holder) {
      wait();
      continue;
    }
    tried.insert(*holder);
    const auto bytes = await_answer(*holder, request);
    if (!bytes) {
      // One that was lost and is dialled again may be asked again.
      if (pool_[*holder].state == Holder::State::coming) tried.erase(*holder);
      continue;
    }
    if (is_right(*bytes)) {
      pool_.credit(*holder, ByteCount(bytes->size()));
      return *bytes;
    }
    pool_.drop(*holder, Error(ErrorKind::corrupt,
                              fmt::format("{} sent {} with another SHA-256 than the id says",
                                          pool_[*holder].name, to_string(request))));
  }
}

std::optional<HolderIndex> Fetch::untried(const std::set<HolderIndex>& tried,
                                          const std::function<bool(const Holder&)>& has) const {
  for (std::uint32_t i = 0; i < pool_.holders().size(); ++i) {
    const HolderIndex holder(i);
    const bool ready = pool_[holder].state == Holder::State::ready;
    if (ready && has(pool_[holder]) && !tried.contains(holder)) return holder;
  }
  return std::nullopt;
}

// nullopt when the holder refuses or is lost.
std::optional<wire::Buffer> Fetch::await_answer(HolderIndex holder, const Request& request) {
  pool_.ask(holder, request);  // if it cannot be asked, its loss will be reported
  while (true) {
    const auto event = wait();
    if (!event) continue;
    if (const auto* gone = std::get_if<HolderGone>(&*event); gone && gone->holder == holder) {
      return std::nullopt;
    }
    const auto* answered = std::get_if<Answered>(&*event);
    if (!answered || answered->holder != holder || answered->request != request) continue;
    if (const auto* bytes = std::get_if<wire::Buffer>(&answered->answer)) return *bytes;
    return std::nullopt;
  }
}

std::optional<ckpt::Manifest> Fetch::obtain_manifest(const ckpt::CheckpointId& id) {
  const auto bytes = obtain(
      ManifestRequest{id}, [&](const Holder& holder) { return holder.find(id) != nullptr; },
      [&](const wire::Buffer& got) { return sha256(got.bytes()) == id.digest; });
  if (!bytes) return std::nullopt;
  return ckpt::parse_manifest(text_of(*bytes), "manifest " + id.hex());
}

ckpt::StageRecord Fetch::obtain_record(const ckpt::Manifest& manifest, StageIndex stage) {
  const ckpt::ManifestStage& described = manifest.stages[stage.value()];
  const auto path = store_.step_directory(manifest.run.step) / described.record.name;
  const auto is_right = [&](std::span<const std::byte> bytes) {
    return sha256(bytes) == described.record.sha256;
  };
  std::string text;
  const auto status = storage_.status(path);
  if (status && status->kind == os::FileKind::regular && status->size == described.record.bytes) {
    text = os::read_file(storage_, path, ckpt::kMaxRecordBytes);
  }
  if (!is_right(std::as_bytes(std::span(text)))) {
    const auto bytes = obtain(
        RecordRequest{result_.id, stage},
        [&](const Holder& holder) { return holder.holds(result_.id, stage); },
        [&](const wire::Buffer& got) { return is_right(got.bytes()); });
    if (!bytes) {
      throw Error(ErrorKind::unavailable,
                  fmt::format("no holder can give {} of checkpoint {}", described.record.name,
                              result_.id.hex()),
                  "name another holder with --from");
    }
    text = text_of(*bytes);
  }
  ckpt::StageRecord record = ckpt::parse_record(text, described.record.name);
  const auto optim = record.optim ? std::optional(record.optim->file) : std::nullopt;
  if (record.run != manifest.run || record.span != described.span ||
      record.model.file != described.model || optim != described.optim) {
    throw Error(ErrorKind::corrupt,
                fmt::format("checkpoint {}: its {} contradicts its manifest", result_.id.hex(),
                            described.record.name),
                "it was made so: fetch another checkpoint");
  }
  return record;
}

// ---- The folder.

// Whether files may be mended where they lie. A step of another checkpoint is not written over.
Mending Fetch::check_folder(const ckpt::Manifest& manifest) const {
  const auto here = store_.inspect(manifest.run.step);
  if (!here || !here->id) return Mending::by_renaming;
  if (here->id == result_.id) return Mending::in_place;
  throw Error(ErrorKind::usage,
              fmt::format("{} holds checkpoint {}, not {}",
                          store_.step_directory(manifest.run.step).string(), here->id->hex(),
                          result_.id.hex()),
              "name another folder with --dir, or move that step away");
}

void Fetch::inspect(std::vector<WantedFile>& files) {
  FetchProgress& progress = result_.progress;
  std::uint64_t wanted = 0;
  for (const WantedFile& file : files) wanted += file.local.record().file.bytes.value();
  progress.wanted_bytes = ByteCount(wanted);
  std::uint64_t missing = 0;
  for (WantedFile& file : files) {
    LocalFile& local = file.local;
    local.inspect([&](ByteCount) {
      if (options_.stop()) throw Stopped();
    });
    for (const std::uint32_t chunk : local.missing()) missing += local.chunk_bytes(chunk).value();
    for (const std::uint32_t chunk : local.damaged()) {
      result_.repaired.push_back({.file = local.record().file.name,
                                  .chunk = chunk,
                                  .begin = ByteCount(chunk * ckpt::kChunkBytes),
                                  .size = local.chunk_bytes(chunk)});
    }
  }
  progress.local_bytes = ByteCount(wanted - missing);
  options_.progress(progress);
}

}  // namespace

FetchResult fetch(const FetchOptions& options, os::Storage& storage, Log& log, const Clock& clock) {
  return Fetch(options, storage, log, clock).run();
}

std::optional<Entry> find_held(const FetchOptions& options, os::Storage& storage, Log& log,
                               const Clock& clock) {
  try {
    return Fetch(options, storage, log, clock).choose_when_known();
  } catch (const Stopped&) {
    return std::nullopt;
  }
}

}  // namespace ptrain::transfer
