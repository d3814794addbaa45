#include "libcommon/metrics/jsonl.h"

#include <algorithm>
#include <cerrno>

#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <sys/stat.h>
#include <unistd.h>

#include "libcommon/base/error.h"
#include "libcommon/os/mapped_file.h"

namespace ptrain::metrics {
namespace {

using Fields = nlohmann::ordered_json;

std::string text_of(const Fields& fields) {
  return fields.dump(-1, ' ', false, Fields::error_handler_t::replace);
}

std::string name_of(const std::filesystem::path& path) {
  return path == "-" ? "standard output" : path.string();
}

os::FileDescriptor open_metrics(const std::filesystem::path& path) {
  os::FileDescriptor file(
      path == "-" ? ::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1)
                  : ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  if (!file.valid()) throw io_error("open " + name_of(path) + " for metrics", errno);
  return file;
}

std::string_view text_of(const os::MappedFile& file) {
  const std::span<const std::byte> bytes = file.bytes();
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::size_t kept_prefix_of_file(const std::filesystem::path& path, std::uint64_t step) {
  return kept_prefix(text_of(os::MappedFile(path)), step);
}

}  // namespace

std::string to_json_line(const StepRecord& r) {
  return text_of({{"kind", "step"},
                  {"step", r.step},
                  {"loss", r.loss},
                  {"grad_norm", r.grad_norm},
                  {"lr", r.lr},
                  {"tokens_per_s", r.tokens_per_s},
                  {"step_s", r.step_s},
                  {"compute_s", r.compute_s},
                  {"wait_s", r.wait_s},
                  {"wait_previous_s", r.wait_previous_s},
                  {"wait_next_s", r.wait_next_s},
                  {"wait_lanes_s", r.wait_lanes_s},
                  {"in_flight", r.in_flight},
                  {"checkpoint_stall_s", r.checkpoint_stall_s},
                  {"tx_bytes", r.tx_bytes},
                  {"rx_bytes", r.rx_bytes},
                  {"tx_forward_bytes", r.tx_forward_bytes},
                  {"tx_backward_bytes", r.tx_backward_bytes},
                  {"tied_bytes", r.tied_bytes},
                  {"tx_lanes_bytes", r.tx_lanes_bytes},
                  {"rss_bytes", r.rss_bytes}});
}

std::string to_json_line(const MemoryRecord& r) {
  return text_of({{"kind", "memory"},
                  {"step", r.step},
                  {"needed_bytes", r.needed_bytes},
                  {"state_bytes", r.state_bytes},
                  {"snapshot_bytes", r.snapshot_bytes},
                  {"activation_bytes", r.activation_bytes},
                  {"numerics_class", r.numerics_class}});
}

std::string to_json_line(const EvalRecord& r) {
  return text_of(
      {{"kind", "eval"}, {"step", r.step}, {"val_loss", r.val_loss}, {"sequences", r.sequences}});
}

std::string to_json_line(const CheckpointRecord& r) {
  return text_of({{"kind", "checkpoint"}, {"step", r.step}, {"id", r.id}, {"save_s", r.save_s}});
}

std::string to_json_line(const PathRecord& r) {
  Fields fields{{"kind", "path"},          {"step", r.step},       {"peer", r.peer},
                {"path", r.path},          {"route", r.route},     {"why", r.why},
                {"round_trip_s", nullptr}, {"changes", r.changes}, {"reconnects", r.reconnects}};
  if (r.round_trip_s) fields["round_trip_s"] = *r.round_trip_s;
  return text_of(fields);
}

std::string to_json_line(const LinkRecord& r) {
  Fields waits = Fields::object();
  for (const auto& [what, time_s] : r.waits) waits[what] = time_s;
  Fields fields{{"kind", "link"},
                {"step", r.step},
                {"peer", r.peer},
                {"sent_bytes", r.sent_bytes},
                {"goodput_bytes_per_s", nullptr},
                {"queued_bytes", r.queued_bytes},
                {"round_trip_s", nullptr},
                {"waits", waits}};
  if (r.goodput_bytes_per_s) fields["goodput_bytes_per_s"] = *r.goodput_bytes_per_s;
  if (r.round_trip_s) fields["round_trip_s"] = *r.round_trip_s;
  return text_of(fields);
}

std::string to_json_line(const DoneRecord& r) {
  Fields fields{{"kind", "done"},
                {"steps", r.steps},
                {"val_loss", nullptr},
                {"weights_sha256", r.weights_sha256},
                {"checkpoint", r.checkpoint},
                {"train_s", r.train_s},
                {"tokens", r.tokens},
                {"peak_rss_bytes", r.peak_rss_bytes}};
  if (r.val_loss) fields["val_loss"] = *r.val_loss;
  if (!r.bottleneck.empty()) fields["bottleneck"] = r.bottleneck;
  return text_of(fields);
}

std::size_t kept_prefix(std::string_view text, std::uint64_t step) {
  std::size_t kept = 0;
  while (kept < text.size()) {
    const std::size_t end = text.find('\n', kept);
    if (end == std::string_view::npos) break;
    const nlohmann::json line =
        nlohmann::json::parse(text.substr(kept, end - kept), nullptr, /*allow_exceptions=*/false);
    if (!line.is_object()) break;
    const nlohmann::json kind = line.value("kind", nlohmann::json());
    if (kind != "step" && kind != "eval" && kind != "checkpoint" && kind != "path" &&
        kind != "link" && kind != "memory") {
      break;
    }
    const nlohmann::json line_step = line.value("step", nlohmann::json());
    if (!line_step.is_number_unsigned() || line_step.get<std::uint64_t>() > step) break;
    kept = end + 1;
  }
  return kept;
}

bool has_evaluation(std::string_view text, std::uint64_t step) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const nlohmann::json line =
        nlohmann::json::parse(text.substr(0, end), nullptr, /*allow_exceptions=*/false);
    if (line.is_object() && line.value("kind", nlohmann::json()) == "eval" &&
        line.value("step", nlohmann::json()) == step) {
      return true;
    }
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return false;
}

JsonlWriter::JsonlWriter(const std::filesystem::path& path, Log& log)
    : path_(path), sink_(open_metrics(path), "metrics to " + name_of(path), log) {}

bool JsonlWriter::has_evaluation(std::uint64_t step) const {
  struct stat status {};
  const bool is_file = ::fstat(sink_.fd(), &status) == 0 && S_ISREG(status.st_mode);
  if (path_ == "-" || !is_file) return true;
  return metrics::has_evaluation(text_of(os::MappedFile(path_)), step);
}

void JsonlWriter::cut_back_to(std::uint64_t step) {
  struct stat status {};
  if (::fstat(sink_.fd(), &status) != 0) throw io_error("stat " + name_of(path_), errno);
  if (path_ == "-" || !S_ISREG(status.st_mode)) return;  // a pipe or a terminal has no past
  const std::size_t kept = step == 0 ? 0 : kept_prefix_of_file(path_, step);
  if (::ftruncate(sink_.fd(), static_cast<off_t>(kept)) != 0) {
    throw io_error("cut " + name_of(path_) + " back to the step that the run goes on from", errno);
  }
}

}  // namespace ptrain::metrics
