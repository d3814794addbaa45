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

// Told to stop; caught in run().
struct Stopped {};

// The holders that are left do not give what the manifest that one of them showed names.
struct Withheld : Error {
  using Error::Error;
  explicit Withheld(const Error& error) : Error(error) {}
};

std::string_view text_of(const wire::Buffer& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// One that the manifest names, and that is none, was made so.
ckpt::StageRecord read_record(std::string_view text, const std::string& name) {
  try {
    return ckpt::parse_record(text, name);
  } catch (const Error& error) {
    throw Withheld(error);
  }
}

class Fetch {
 public:
  Fetch(const FetchOptions& options, os::Storage& storage, Log& log, const Clock& clock)
      : options_(options),
        storage_(storage),
        log_(log),
        clock_(clock),
        store_(storage, options.directory, options.writer),
        pool_(options.holders, log, clock) {}

  FetchResult run();
  // The checkpoint that `which` names, whose manifest some holder has shown.
  std::optional<Entry> find();

 private:
  using Has = std::function<bool(const Holder&)>;
  using Check = std::function<bool(const wire::Buffer&)>;
  // Holders that lists something and what became of it.
  struct Sought {
    std::optional<wire::Buffer> found{};
    std::set<HolderIndex> silent{};  // have not answered yet
    std::set<HolderIndex> refused{};
  };
  Sought obtain(const Request& request, const Has& has, const Check& is_right,
                std::optional<Duration> patience);
  Listing candidates_when_known();
  Listing accepted_of(const Listing& candidates);
  bool is_real(const Entry& entry);
  bool is_accepted(const Entry& entry);
  void pass_over(const Entry& entry, const Error& why);
  void leave_out(const Entry& entry, const std::set<HolderIndex>& liars, const Error& why);
  std::optional<HolderIndex> untried(const std::set<HolderIndex>& tried, const Has& has) const;
  std::set<HolderIndex> holders_that(const Has& has) const;
  std::optional<HolderEvent> wait();
  std::vector<Listing> known_listings() const;
  std::vector<Listing> with_own(std::vector<Listing> listings) const;

  void fetch_step(const ckpt::Manifest& manifest);
  void add_files(std::vector<WantedFile>& files, StageIndex stage, const ckpt::StageRecord& record,
                 Repair repair) const;
  void fetch_chunks(ChunkFetch& chunks);
  ckpt::StageRecord obtain_record(const ckpt::Manifest& manifest, StageIndex stage);
  Repair check_folder(const ckpt::Manifest& manifest) const;
  bool is_whole_behind_link(const ckpt::Manifest& manifest);
  std::string record_text_here(const ckpt::Manifest& manifest, StageIndex stage) const;
  void inspect(std::vector<WantedFile>& files);
  Error nothing_found() const;

  const FetchOptions& options_;
  os::Storage& storage_;
  Log& log_;
  const Clock& clock_;
  ckpt::CheckpointStore store_;
  HolderPool pool_;
  FetchResult result_;
  std::map<StageIndex, ckpt::StageRecord> records_;
  // What a holder says of a checkpoint is looked up by all that it says: another may say of the
  // same one what is true.
  struct Claim {
    ckpt::CheckpointId id;
    Step step;
    std::uint32_t stage_count = 0;
    auto operator<=>(const Claim&) const = default;
    explicit Claim(const Entry& e) : id(e.id), step(e.step), stage_count(e.stage_count) {}
  };
  std::map<ckpt::CheckpointId, ckpt::Manifest> manifests_;
  // Whose manifest nobody shows, or is another: a holder cannot keep others from being used.
  std::set<Claim> hollow_;
  // Slow to show a manifest: what they list counts when the others have nothing.
  std::set<HolderIndex> slow_;
  bool patient_ = false;
  std::optional<Error> passed_over_;  // why, of the first one
};

FetchResult Fetch::run() {
  try {
    while (true) {
      const auto entry = find();
      if (!entry) throw nothing_found();
      result_.id = entry->id;
      try {
        fetch_step(manifests_.at(entry->id));
        break;
      } catch (const Withheld& withheld) {
        if (options_.which != "latest") throw;
        pass_over(*entry, withheld);
      }
    }
  } catch (const Stopped&) {
    result_.stopped = true;
  }
  result_.holders = pool_.holders();
  return std::move(result_);
}

void Fetch::fetch_step(const ckpt::Manifest& manifest) {
  result_.step = manifest.run.step;
  result_.weights_sha256 = to_hex(manifest.weights_sha256);
  const Repair repair = check_folder(manifest);
  if (is_whole_behind_link(manifest)) return;
  const auto folder = store_.step_directory(manifest.run.step);
  for (const StageIndex stage : wanted_stages(manifest, options_.share)) {
    records_.emplace(stage, obtain_record(manifest, stage));
  }
  std::vector<WantedFile> files;
  for (const auto& [stage, record] : records_) {
    add_files(files, stage, record, repair);
  }
  os::create_directories_durably(storage_, folder);
  inspect(files);
  ChunkFetch chunks(result_.id, files, pool_, RateLimit(options_.rate_bytes_per_s, clock_.now()),
                    clock_);
  fetch_chunks(chunks);
  std::vector<LocalFile*> local;
  for (WantedFile& file : files) local.push_back(&file.local);
  complete_step(storage_, store_, manifest, records_, local);
}

void Fetch::add_files(std::vector<WantedFile>& files, StageIndex stage,
                      const ckpt::StageRecord& record, Repair repair) const {
  const auto folder = store_.step_directory(record.run.step);
  for (const Part part : {Part::model, Part::optim, Part::tokenizer}) {
    const ckpt::FileRecord* file = file_of(record, part);
    if (file == nullptr) continue;
    files.push_back({stage, part, {storage_, folder, *file, repair, store_.writer()}});
  }
}

void Fetch::fetch_chunks(ChunkFetch& chunks) {
  try {
    const bool whole = chunks.run(options_.stop, [&](ByteCount bytes) {
      FetchProgress& progress = result_.progress;
      progress.local_bytes = ByteCount(progress.local_bytes.value() + bytes.value());
      progress.fetched_bytes = ByteCount(progress.fetched_bytes.value() + bytes.value());
      options_.progress(progress);
    });
    if (!whole) throw Stopped();
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::unavailable && pool_.any_left()) throw Withheld(error);
    throw;
  }
}

// ---- What there is, and what is asked for once.

std::vector<Listing> Fetch::known_listings() const {
  std::vector<Listing> listings;
  for (std::uint32_t i = 0; i < pool_.holders().size(); ++i) {
    const Holder& holder = pool_[HolderIndex(i)];
    if (holder.state != Holder::State::ready) continue;
    listings.push_back(slow_.contains(HolderIndex(i)) ? Listing{} : holder.listing);
    std::erase_if(listings.back(), [&](const Entry& e) { return hollow_.contains(Claim(e)); });
  }
  return listings;
}

// Who holds a share of what the others have needs only theirs.
std::vector<Listing> Fetch::with_own(std::vector<Listing> listings) const {
  Listing own;
  for (const Entry& entry : merged(listings)) {
    const auto here = store_.inspect(entry.step);
    if (!here || here->id != entry.id) continue;
    own.push_back(entry);
    own.back().held = here->held;
  }
  listings.push_back(std::move(own));
  return listings;
}

std::optional<HolderEvent> Fetch::wait() {
  if (options_.stop()) throw Stopped();
  return pool_.wait(kStopQuestionInterval);
}

// What fits, once enough holders have said what they have. What is lacking, a holder that is still
// on its way may have.
Listing Fetch::candidates_when_known() {
  std::optional<TimePoint> first_ready;
  while (true) {
    const auto listings = known_listings();
    if (!listings.empty() && !first_ready) first_ready = clock_.now();
    const bool all_heard = !pool_.any_coming();
    if (all_heard && !pool_.any_left()) throw pool_.exhausted();
    if (all_heard || (first_ready && clock_.now() - *first_ready >= options_.patience.others)) {
      Listing found = fitting(with_own(listings), options_.which, options_.share);
      std::optional<Error> lacking;
      std::erase_if(found, [&](const Entry& entry) {
        try {
          check_held(entry, options_.share);
          return false;
        } catch (const Error& error) {
          lacking = error;
          return true;
        }
      });
      if (!found.empty()) return found;
      if (!slow_.empty()) {
        slow_.clear();
        patient_ = true;
        continue;
      }
      if (all_heard && lacking) throw *lacking;
      if (all_heard) return found;
    }
    wait();
  }
}

std::optional<Entry> Fetch::find() {
  while (true) {
    const Listing candidates = candidates_when_known();
    if (candidates.empty() && passed_over_) throw *passed_over_;
    if (candidates.empty()) return std::nullopt;
    const Listing accepted = accepted_of(candidates);
    if (accepted.size() < candidates.size()) continue;  // others may come in their place
    if (accepted.size() > 1) throw ambiguous(accepted, options_.which);
    return accepted.front();
  }
}

Listing Fetch::accepted_of(const Listing& candidates) {
  Listing accepted;
  for (const Entry& entry : candidates) {
    if (is_real(entry) && is_accepted(entry)) accepted.push_back(entry);
  }
  return accepted;
}

bool Fetch::is_real(const Entry& entry) {
  const auto lists_it = [&](const Holder& holder) {
    return std::ranges::any_of(holder.listing,
                               [&](const Entry& e) { return Claim(e) == Claim(entry); });
  };
  if (!manifests_.contains(entry.id)) {
    const Sought sought = obtain(
        ManifestRequest{entry.id}, lists_it,
        [&](const wire::Buffer& got) { return sha256(got.bytes()) == entry.id.digest; },
        patient_ ? std::nullopt : std::optional(options_.patience.manifest));
    if (!sought.found && !sought.silent.empty()) {
      slow_.insert(sought.silent.begin(), sought.silent.end());
      return false;
    }
    if (!sought.found) {
      leave_out(entry, sought.refused,
                Error(ErrorKind::unavailable, "and does not give its manifest"));
      return false;
    }
    try {
      manifests_.emplace(entry.id, ckpt::parse_manifest(text_of(*sought.found), "manifest"));
    } catch (const Error& error) {
      leave_out(entry, holders_that(lists_it), error);
      return false;
    }
  }
  const ckpt::Manifest& manifest = manifests_.at(entry.id);
  if (manifest.run.step == entry.step && manifest.stages.size() == entry.stage_count) return true;
  leave_out(
      entry, holders_that(lists_it),
      Error(ErrorKind::corrupt, fmt::format("its manifest says step {}, {} stages",
                                            manifest.run.step.value(), manifest.stages.size())));
  return false;
}

// Only of the latest ones another may be looked at: a person who named one means that.
bool Fetch::is_accepted(const Entry& entry) {
  if (!options_.accept) return true;
  try {
    options_.accept(manifests_.at(entry.id));
    return true;
  } catch (const Error& error) {
    if (options_.which != "latest") throw;
    pass_over(entry, error);
    return false;
  }
}

void Fetch::pass_over(const Entry& entry, const Error& why) {
  log_.warning(fmt::format("passed over {}: {}", ckpt::step_name(entry.step), why.what()));
  if (!passed_over_) passed_over_ = why;
  hollow_.insert(Claim(entry));
  records_.clear();
}

void Fetch::leave_out(const Entry& entry, const std::set<HolderIndex>& liars, const Error& why) {
  hollow_.insert(Claim(entry));
  for (const HolderIndex liar : liars) {
    pool_.drop(
        liar, Error(why.kind(), fmt::format("{} lists {} as {}, of {} stages: {}", pool_[liar].name,
                                            entry.id.hex(), ckpt::step_name(entry.step),
                                            entry.stage_count, why.what())));
  }
}

std::set<HolderIndex> Fetch::holders_that(const Has& has) const {
  std::set<HolderIndex> holders;
  for (std::uint32_t i = 0; i < pool_.holders().size(); ++i) {
    if (has(pool_[HolderIndex(i)])) holders.insert(HolderIndex(i));
  }
  return holders;
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

// Asks one holder after the other, the next one also when the last takes long, until one gives what
// is right. Who gives what is not right is left out.
Fetch::Sought Fetch::obtain(const Request& request, const Has& has, const Check& is_right,
                            std::optional<Duration> patience) {
  Sought sought;
  std::set<HolderIndex> tried;
  TimePoint last_asked = clock_.now();
  while (true) {
    const auto next = untried(tried, has);
    if (next && (sought.silent.empty() || clock_.now() - last_asked >= options_.patience.next)) {
      pool_.ask(*next, request);  // if it cannot be asked, its loss will be reported
      tried.insert(*next);
      sought.silent.insert(*next);
      last_asked = clock_.now();
    }
    if (sought.silent.empty()) {
      if (!pool_.any_left()) throw pool_.exhausted();
      if (!pool_.any_coming()) return sought;
    }
    if (patience && clock_.now() - last_asked >= *patience) return sought;
    const auto event = wait();
    if (!event) continue;
    if (const auto* gone = std::get_if<HolderGone>(&*event)) {
      sought.silent.erase(gone->holder);
      sought.refused.erase(gone->holder);
      // One that was lost and is dialled again may be asked again.
      if (pool_[gone->holder].state == Holder::State::coming) tried.erase(gone->holder);
      continue;
    }
    const auto* answered = std::get_if<Answered>(&*event);
    if (!answered || answered->request != request || !sought.silent.erase(answered->holder)) {
      continue;
    }
    const auto* bytes = std::get_if<wire::Buffer>(&answered->answer);
    if (bytes == nullptr) {
      sought.refused.insert(answered->holder);
    } else if (is_right(*bytes)) {
      pool_.credit(answered->holder, ByteCount(bytes->size()));
      sought.found = *bytes;
      return sought;
    } else {
      pool_.drop(
          answered->holder,
          Error(ErrorKind::corrupt, fmt::format("{} sent {} with another SHA-256 than the id says",
                                                pool_[answered->holder].name, to_string(request))));
    }
  }
}

std::optional<HolderIndex> Fetch::untried(const std::set<HolderIndex>& tried,
                                          const Has& has) const {
  for (std::uint32_t i = 0; i < pool_.holders().size(); ++i) {
    const HolderIndex holder(i);
    const bool ready = pool_[holder].state == Holder::State::ready;
    if (ready && has(pool_[holder]) && !tried.contains(holder)) return holder;
  }
  return std::nullopt;
}

// What lies here under the record's name, where it has the record's size; else nothing.
std::string Fetch::record_text_here(const ckpt::Manifest& manifest, StageIndex stage) const {
  const ckpt::FileDigest& record = manifest.stages[stage.value()].record;
  const auto path = store_.step_directory(manifest.run.step) / record.name;
  const auto status = storage_.status(path);
  const bool fits = status && status->kind == os::FileKind::regular && status->size == record.bytes;
  return fits ? os::read_file(storage_, path, ckpt::kMaxRecordBytes) : "";
}

ckpt::StageRecord Fetch::obtain_record(const ckpt::Manifest& manifest, StageIndex stage) {
  const ckpt::ManifestStage& described = manifest.stages[stage.value()];
  const auto is_right = [&](std::span<const std::byte> bytes) {
    return sha256(bytes) == described.record.sha256;
  };
  std::string text = record_text_here(manifest, stage);
  if (!is_right(std::as_bytes(std::span(text)))) {
    const Sought sought = obtain(
        RecordRequest{result_.id, stage},
        [&](const Holder& holder) { return holder.holds(result_.id, stage); },
        [&](const wire::Buffer& got) { return is_right(got.bytes()); }, std::nullopt);
    if (!sought.found) {
      throw Withheld(ErrorKind::unavailable,
                     fmt::format("no holder can give {} of checkpoint {}", described.record.name,
                                 result_.id.hex()),
                     "name another holder with --from");
    }
    text = text_of(*sought.found);
  }
  ckpt::StageRecord record = read_record(text, described.record.name);
  if (ckpt::contradiction(manifest, stage, record)) {
    throw Withheld(ErrorKind::corrupt,
                   fmt::format("checkpoint {}: its {} contradicts its manifest", result_.id.hex(),
                               described.record.name),
                   "it was made so: fetch another checkpoint");
  }
  return record;
}

// ---- The folder.

// Whether files may be mended where they lie. A step of another checkpoint is not written over.
Repair Fetch::check_folder(const ckpt::Manifest& manifest) const {
  const auto here = store_.inspect(manifest.run.step);
  if (!here || !here->id) return Repair::by_renaming;
  if (here->id == result_.id) return Repair::in_place;
  throw Error(ErrorKind::usage,
              fmt::format("{} holds checkpoint {}, not {}",
                          store_.step_directory(manifest.run.step).string(), here->id->hex(),
                          result_.id.hex()),
              "name another folder with --dir, or move that step away");
}

// A step whose folder is a link is read and left alone: true where there is nothing to mend behind
// it. Throws Error(usage) where there is.
bool Fetch::is_whole_behind_link(const ckpt::Manifest& manifest) {
  const auto here = store_.inspect(manifest.run.step);
  if (!here || !here->linked) return false;
  const auto folder = store_.step_directory(manifest.run.step);
  std::vector<WantedFile> files;
  bool whole = here->id == result_.id;
  for (const StageIndex stage : wanted_stages(manifest, options_.share)) {
    const std::string text = record_text_here(manifest, stage);
    whole = whole && std::ranges::find(here->held, stage) != here->held.end() &&
            sha256(text) == manifest.stages[stage.value()].record.sha256;
    if (!whole) break;
    const ckpt::StageRecord& record =
        records_.emplace(stage, ckpt::parse_record(text, folder.string())).first->second;
    add_files(files, stage, record, Repair::in_place);
  }
  if (whole) inspect(files);
  whole = whole && std::ranges::all_of(
                       files, [](const WantedFile& file) { return file.local.missing().empty(); });
  if (whole) return true;
  throw Error(ErrorKind::usage,
              folder.string() +
                  " is a symbolic link, and what it leads to is not whole: nothing "
                  "is written through it",
              "name the folder that holds what it leads to with --dir, or move the link away");
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
    return Fetch(options, storage, log, clock).find();
  } catch (const Stopped&) {
    return std::nullopt;
  }
}

}  // namespace ptrain::transfer
