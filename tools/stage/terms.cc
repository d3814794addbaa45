#include "tools/stage/terms.h"

#include <optional>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "libcommon/base/error.h"
#include "libcommon/base/sha256.h"
#include "libcommon/base/strict_json.h"
#include "libcommon/data/data_outline.h"
#include "libcommon/job/job_difference.h"
#include "libcommon/wire/envelope.h"

namespace ptrain::stage {
namespace {

using nlohmann::json;

constexpr const char* kJob = "job";
constexpr const char* kData = "data";
constexpr const char* kCells = "cells";  // each process's, where the job has lanes

std::string text_of(const json& terms) {
  return terms.dump(-1, ' ', /*ensure_ascii=*/false, json::error_handler_t::replace);
}

std::optional<data::DataOutline> outline(const json& terms, const char* name) {
  const json& data = terms.at(kData);
  if (!data.is_object() || !data.contains(name)) return std::nullopt;
  return data::outline_from(data[name]);
}

void append(std::string& text, const std::string& more) {
  if (more.empty()) return;
  if (!text.empty()) text += "; ";
  text += more;
}

}  // namespace

std::string hash_of(const job::Job& job, const job::Layout& layout) {
  const std::string hash = job::job_hash(job);
  if (layout.grid().lanes == 1) return hash;
  return to_hex(sha256(hash + " " + layout.text()));
}

std::string terms_of(const job::Job& job, const job::Layout& layout, const JobData* data) {
  json terms{{kJob, json::parse(job::canonical_json(job))}};
  if (layout.grid().lanes > 1) terms[kCells] = layout.text();
  std::string alone = text_of(terms);
  if (data == nullptr) return alone;
  terms[kData] = data->outline();
  std::string whole = text_of(terms);
  return whole.size() <= wire::kMaxTermsBytes ? whole : alone;
}

std::string explain_terms(std::string_view ours, std::string_view theirs) try {
  const json one = parse_strict_json(ours, "our terms");
  const json other = parse_strict_json(theirs, "their terms");
  std::string text;
  if (one.contains(kJob) && other.contains(kJob)) {
    text = job::here_and("there", job::job_differences(text_of(one[kJob]), text_of(other[kJob])));
  }
  if (one.contains(kCells) && other.contains(kCells) && one[kCells] != other[kCells]) {
    append(text, fmt::format("cells of the processes: {} here, {} there",
                             one[kCells].get<std::string>(), other[kCells].get<std::string>()));
  }
  if (one.contains(kData) && other.contains(kData)) {
    for (const char* name : {"data.train", "data.val"}) {
      append(text, data::difference(name, outline(one, name), outline(other, name)));
    }
  }
  return text;
} catch (const json::exception&) {
  return "";
} catch (const Error&) {
  return "";  // whoever wrote them is not of our kind
}

}  // namespace ptrain::stage
