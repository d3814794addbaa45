#include "libcommon/ckpt/record.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <set>
#include <span>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/base/in_quotes.h"
#include "libcommon/ckpt/record_json.h"
#include "libcommon/ckpt/safetensors.h"
#include "libcommon/ckpt/tokenizer_file.h"

namespace ptrain::ckpt {
namespace {

using nlohmann::json;

constexpr std::string_view kRecordFormat = "ptrain-stage-record";

std::string stage_file_name(StageIndex stage, std::string_view what) {
  return fmt::format("stage-{:02}.{}", stage.value(), what);
}

json chunks_json(const FileRecord& file) {
  json value = to_json(file.file);
  json& chunks = value["chunk_sha256"] = json::array();
  for (const Sha256Digest& chunk : file.chunk_sha256) chunks.push_back(to_hex(chunk));
  return value;
}

json file_json(const FileRecord& file) {
  json value = chunks_json(file);
  json& tensors = value["tensors"] = json::array();
  for (const TensorRecord& tensor : file.tensors) {
    tensors.push_back({{"name", tensor.info.name},
                       {"dtype", dtype_name(tensor.info.dtype)},
                       {"shape", tensor.info.shape},
                       {"sha256", to_hex(tensor.sha256)}});
  }
  return value;
}

TensorRecord tensor_from_json(JsonObject object) {
  TensorRecord tensor;
  tensor.info.name = object.text("name");
  const auto dtype = dtype_from_name(object.text("dtype"));
  if (!dtype) object.fail("dtype", "a type that safetensors names");
  tensor.info.dtype = *dtype;
  const json& shape = object.array("shape");
  if (shape.size() > kMaxRank) object.fail("shape", fmt::format("at most {} numbers", kMaxRank));
  for (const json& dimension : shape) {
    constexpr std::uint64_t kMax = std::numeric_limits<std::int64_t>::max();
    if (!dimension.is_number_unsigned() || dimension.get<std::uint64_t>() > kMax) {
      object.fail("shape", "integers from 0");
    }
    tensor.info.shape.push_back(dimension.get<std::int64_t>());
  }
  tensor.sha256 = object.sha256("sha256");
  object.finish();
  return tensor;
}

void check_chunks(const FileRecord& file, const std::string& where) {
  const std::uint64_t bytes = file.file.bytes.value();
  const std::uint64_t chunks = bytes / kChunkBytes + (bytes % kChunkBytes != 0 ? 1 : 0);
  if (file.chunk_sha256.size() != chunks) {
    throw Error(ErrorKind::corrupt, fmt::format("{}: {} chunk hashes for {} bytes, expected {}",
                                                where, file.chunk_sha256.size(), bytes, chunks));
  }
}

// The file's length follows from its tensors, the number of chunks from its length.
void check_sizes(const FileRecord& file, const std::string& where) {
  std::vector<TensorInfo> infos;
  for (const TensorRecord& tensor : file.tensors) infos.push_back(tensor.info);
  std::uint64_t bytes = safetensors_header(infos, pytorch_metadata()).size();
  for (const TensorInfo& info : infos) bytes += *byte_size(info);  // checked by the line above
  if (file.file.bytes.value() != bytes) {
    throw Error(ErrorKind::corrupt, fmt::format("{}: {} bytes, its tensors take {}", where,
                                                file.file.bytes.value(), bytes));
  }
  check_chunks(file, where);
}

FileRecord chunks_from_json(JsonObject& object, const std::string& name) {
  FileRecord file;
  file.file.name = object.text("name");
  if (file.file.name != name) object.fail("name", "\"" + name + "\"");
  file.file.bytes = ByteCount(object.integer("bytes"));
  file.file.sha256 = object.sha256("sha256");
  for (const json& chunk : object.array("chunk_sha256")) {
    const std::string place =
        fmt::format("{}.chunk_sha256[{}]", object.where(), file.chunk_sha256.size());
    file.chunk_sha256.push_back(sha256_value(chunk, place));
  }
  return file;
}

FileRecord tokenizer_from_json(JsonObject object, const std::string& name) {
  FileRecord file = chunks_from_json(object, name);
  object.finish();
  const std::uint64_t bytes = file.file.bytes.value();
  if (bytes == 0 || bytes > kMaxTokenizerBytes) {
    throw Error(ErrorKind::corrupt, fmt::format("{}: {} bytes, a tokenizer has 1 to {}",
                                                object.where(), bytes, kMaxTokenizerBytes));
  }
  check_chunks(file, object.where());
  return file;
}

FileRecord file_from_json(JsonObject object, const std::string& name) {
  FileRecord file = chunks_from_json(object, name);
  for (const json& tensor : object.array("tensors")) {
    const std::string place = fmt::format("{}.tensors[{}]", object.where(), file.tensors.size());
    file.tensors.push_back(tensor_from_json(JsonObject(tensor, place)));
  }
  object.finish();
  check_sizes(file, object.where());
  return file;
}

// Exactly the parameters of the span, as float32 master weights.
void check_model_tensors(const StageRecord& record, const std::string& where) {
  const auto expected = job::parameters(record.run.model, record.span);
  const auto& tensors = record.model.tensors;
  for (std::size_t i = 0; i < std::max(expected.size(), tensors.size()); ++i) {
    const TensorInfo wanted = i < expected.size()
                                  ? TensorInfo{expected[i].name, Dtype::f32, expected[i].shape}
                                  : TensorInfo{};
    if (i >= expected.size() || i >= tensors.size() || tensors[i].info != wanted) {
      const auto text = [](const TensorInfo& info) {
        return fmt::format("{} {} [{}]", in_quotes(info.name), dtype_name(info.dtype),
                           fmt::join(info.shape, ", "));
      };
      throw Error(ErrorKind::corrupt,
                  fmt::format("{}: tensor {} is {}, the stage's layers ask for {}", where, i,
                              i < tensors.size() ? text(tensors[i].info) : "missing",
                              i < expected.size() ? text(wanted) : "none"));
    }
  }
}

bool is_moment_name(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
  });
}

// Every moment belongs to a parameter of the stage: "<parameter>.<moment>".
void check_optim_tensors(const StageRecord& record, const std::string& where) {
  std::set<std::string, std::less<>> parameters;
  for (const TensorRecord& tensor : record.model.tensors) parameters.insert(tensor.info.name);
  std::set<std::string_view> names;
  for (const TensorRecord& tensor : record.optim->tensors) {
    const std::string_view name = tensor.info.name;
    const std::size_t dot = name.rfind('.');
    const bool owned = dot != std::string_view::npos && is_moment_name(name.substr(dot + 1)) &&
                       parameters.contains(name.substr(0, dot));
    if (!owned || !names.insert(name).second) {
      throw Error(ErrorKind::corrupt,
                  fmt::format("{}: tensor {} {}", where, in_quotes(name),
                              owned ? "is given twice" : "belongs to no parameter of the stage"));
    }
  }
}

}  // namespace

std::string model_file_name(StageIndex stage) {
  return stage_file_name(stage, "model.safetensors");
}
std::string optim_file_name(StageIndex stage) {
  return stage_file_name(stage, "optim.safetensors");
}
std::string tokenizer_file_name(StageIndex stage) {
  return stage_file_name(stage, "tokenizer.model");
}
std::string record_file_name(StageIndex stage) { return stage_file_name(stage, "record.json"); }

std::optional<StageIndex> stage_of_record(std::string_view file_name) {
  constexpr std::string_view kPrefix = "stage-";
  if (!file_name.starts_with(kPrefix)) return std::nullopt;
  const std::string_view rest = file_name.substr(kPrefix.size());
  std::uint32_t number = 0;
  const auto parsed = std::from_chars(rest.data(), rest.data() + rest.size(), number);
  if (parsed.ec != std::errc() || number >= kMaxStages) return std::nullopt;
  if (record_file_name(StageIndex(number)) != file_name) return std::nullopt;
  return StageIndex(number);
}

std::vector<FileRecord> described_files(const StageRecord& record) {
  std::vector<FileRecord> files{record.model};
  if (record.optim) files.push_back(*record.optim);
  if (record.tokenizer) files.push_back(*record.tokenizer);
  return files;
}

std::string canonical_json(const StageRecord& record) {
  const bool extended = record.tokenizer || cuts_a_layer(record.span);
  const std::uint64_t version = extended ? kExtendedVersion : kFormatVersion;
  json value = {{"format", kRecordFormat},           {"version", version},
                {"run", to_json(record.run)},        {"stage", record.stage.value()},
                {"stage_count", record.stage_count}, {"span", to_json(record.span)},
                {"model", file_json(record.model)}};
  if (record.optim) value["optim"] = file_json(*record.optim);
  if (record.tokenizer) value["tokenizer"] = chunks_json(*record.tokenizer);
  return value.dump();
}

StageRecord parse_record(std::string_view text, const std::string& where) {
  if (text.size() > kMaxRecordBytes) {
    throw Error(ErrorKind::corrupt, fmt::format("{}: {} bytes, a record has at most {}", where,
                                                text.size(), kMaxRecordBytes));
  }
  const json value = parse_strict_json(text, where);
  JsonObject object(value, where);
  check_format(object, kRecordFormat);
  StageRecord record;
  record.run = run_from_json(object.object("run"));
  record.stage = StageIndex(static_cast<std::uint32_t>(object.integer("stage", kMaxStages)));
  record.stage_count = static_cast<std::uint32_t>(object.integer("stage_count", kMaxStages));
  record.span = span_from_json(object.object("span"));
  check_span(record.span, record.run.model, record.stage, record.stage_count, where);
  record.model = file_from_json(object.object("model"), model_file_name(record.stage));
  check_model_tensors(record, where + ".model");
  if (object.has("optim")) {
    record.optim = file_from_json(object.object("optim"), optim_file_name(record.stage));
    check_optim_tensors(record, where + ".optim");
  }
  if (record.span.embedding && object.has("tokenizer")) {
    record.tokenizer =
        tokenizer_from_json(object.object("tokenizer"), tokenizer_file_name(record.stage));
  }
  object.finish();
  check_canonical(text, canonical_json(record), where);
  return record;
}

}  // namespace ptrain::ckpt
