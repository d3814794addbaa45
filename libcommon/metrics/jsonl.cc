#include "libcommon/metrics/jsonl.h"

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

std::size_t kept_prefix_of_file(const std::filesystem::path& path, std::uint64_t step) {
  const os::MappedFile file(path);
  const std::span<const std::byte> bytes = file.bytes();
  return kept_prefix({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, step);
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
                  {"checkpoint_stall_s", r.checkpoint_stall_s},
                  {"tx_bytes", r.tx_bytes},
                  {"rx_bytes", r.rx_bytes},
                  {"tx_forward_bytes", r.tx_forward_bytes},
                  {"tx_backward_bytes", r.tx_backward_bytes},
                  {"tied_bytes", r.tied_bytes},
                  {"rss_bytes", r.rss_bytes}});
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
    if (kind != "step" && kind != "eval" && kind != "checkpoint" && kind != "path") break;
    const nlohmann::json line_step = line.value("step", nlohmann::json());
    if (!line_step.is_number_unsigned() || line_step.get<std::uint64_t>() > step) break;
    kept = end + 1;
  }
  return kept;
}

JsonlWriter::JsonlWriter(const std::filesystem::path& path, std::uint64_t keep_up_to_step)
    : name_(path == "-" ? "standard output" : path.string()) {
  if (path == "-") {
    file_ = os::FileDescriptor(::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0));
    if (!file_.valid()) throw io_error("write metrics to " + name_, errno);
    return;
  }
  file_ = os::FileDescriptor(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  if (!file_.valid()) throw io_error("open " + name_ + " for metrics", errno);
  struct stat status {};
  if (::fstat(file_.get(), &status) != 0) throw io_error("stat " + name_, errno);
  if (!S_ISREG(status.st_mode)) return;  // a pipe or a terminal has no past
  const std::size_t kept = keep_up_to_step == 0 ? 0 : kept_prefix_of_file(path, keep_up_to_step);
  if (::ftruncate(file_.get(), static_cast<off_t>(kept)) != 0) {
    throw io_error("cut " + name_ + " back to the step that the run goes on from", errno);
  }
}

void JsonlWriter::append(std::string line) {
  line.push_back('\n');
  // One call in all but the rarest cases: a disk that fills up, a pipe that is full.
  std::string_view rest = line;
  while (!rest.empty()) {
    const ssize_t written = ::write(file_.get(), rest.data(), rest.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      throw io_error("write metrics to " + name_, errno);
    }
    rest.remove_prefix(static_cast<std::size_t>(written));
  }
}

}  // namespace ptrain::metrics
