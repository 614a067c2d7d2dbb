// Looking up, asking, keeping.
#include "foreman/engine_answers.h"

#include <fmt/format.h>

#include <algorithm>

#include "foreman/sha256.h"

namespace gantry {

namespace {

using nlohmann::json;

constexpr int kVersion = 1;
constexpr size_t kKeyDigits = 64;

std::string file_identity(Os& os, const std::string& file) {
  const Result<FileInfo> info = os.stat(file);
  if (!info) return file + ":none;";
  return fmt::format("{}:{}:{}:{};", file, info->size.n, info->mtime_ns, info->inode);
}

}  // namespace

std::string engine_identity(Os& os, const std::string& worker_exe, const std::string& engine_dir) {
  return file_identity(os, worker_exe) + file_identity(os, join_path(engine_dir, "llama-server"));
}

std::string EngineAnswers::key_of(const WorkerSpec& spec, const std::string& files) const {
  std::string text = options_.about + "\n" + files;
  for (const std::string& flag : dry_run_flags(*options_.os, spec)) text += "\n" + flag;
  for (const auto& [name, value] : spec.env) text += "\n" + name + "=" + value;
  return sha256_hex(text);
}

EngineAnswers::Rows EngineAnswers::read_file() const {
  Rows rows;
  if (options_.file.empty()) return rows;
  const Result<std::string> text = options_.os->read_file(options_.file, kAnswersFileMax);
  if (!text) return rows;
  const json all = json::parse(*text, nullptr, false);
  if (!all.is_object() || all.value("version", json()) != kVersion) return rows;
  const auto answers = all.find("answers");
  if (answers == all.end() || !answers->is_array()) return rows;
  for (const json& row : *answers) {
    if (!row.is_object() || !row.contains("key") || !row["key"].is_string()) continue;
    const auto key = row["key"].get<std::string>();
    if (key.size() == kKeyDigits && row.contains("answer")) rows.emplace_back(key, row["answer"]);
  }
  return rows;
}

// Another process may have written meanwhile: what it knows is kept. Of two that write at once one
// is lost, and asked for again.
void EngineAnswers::keep(const std::string& key, const json& answer) {
  if (options_.file.empty()) return;
  Rows rows = read_file();
  std::erase_if(rows, [&](const auto& row) { return row.first == key; });
  rows.emplace_back(key, answer);
  const size_t over = rows.size() > kAnswersKept ? rows.size() - kAnswersKept : 0;
  for (size_t skip = over; skip < rows.size(); skip += rows.size() / 4 + 1) {
    json list = json::array();
    for (size_t i = skip; i < rows.size(); ++i) {
      list.push_back({{"key", rows[i].first}, {"answer", rows[i].second}});
    }
    const std::string text = json{{"version", kVersion}, {"answers", list}}.dump() + "\n";
    if (text.size() > kAnswersFileMax.n) continue;  // it could not be read again
    (void)options_.os->write_file(options_.file, text, 0600);  // not there: asked for again
    return;
  }
}

std::optional<Error> EngineAnswers::failed_lately(const std::string& key) {
  const auto failure = failures_.find(key);
  if (failure == failures_.end()) return std::nullopt;
  if (options_.clock->steady() - failure->second.at < kAnswerFailureHeld) {
    return failure->second.error;
  }
  failures_.erase(failure);
  return std::nullopt;
}

Result<std::vector<Need>> EngineAnswers::ask(const WorkerSpec& spec, const std::string& files) {
  const std::string key = key_of(spec, files);
  {
    const std::lock_guard lock(mutex_);
    if (!read_) {
      for (auto& [known, answer] : read_file()) known_[known] = std::move(answer);
      read_ = true;
    }
    if (const auto found = known_.find(key); found != known_.end()) {
      Result<std::vector<Need>> needs = needs_of_answer(found->second, spec);
      if (needs) {
        ++counts_.known;
        return needs;
      }
      known_.erase(found);  // not ours; asked again
    }
    if (const auto failed = failed_lately(key)) return fail(*failed);
  }
  Result<json> answer = options_.probe(spec);
  const bool asked = answer || answer.error().code != Code::kUnsupported;
  if (answer) answer->erase("buffers");
  Result<std::vector<Need>> needs = answer ? needs_of_answer(*answer, spec) : fail(answer.error());
  const std::lock_guard lock(mutex_);
  counts_.asked += asked;
  if (!needs) {
    counts_.failed += asked;
    if (asked && options_.on_failure) options_.on_failure(spec.model, needs.error());
    if (failures_.size() >= kAnswersKept) failures_.clear();
    failures_[key] = {needs.error(), options_.clock->steady()};
    return needs;
  }
  if (known_.size() >= kAnswersKept) known_.clear();
  known_[key] = *answer;
  keep(key, *answer);
  return needs;
}

EngineAnswers::Counts EngineAnswers::counts() {
  const std::lock_guard lock(mutex_);
  return counts_;
}

}  // namespace gantry
