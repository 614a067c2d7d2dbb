// Routes of durable jobs: submit, list, look, wait, cancel.
#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "base/ids.h"
#include "base/clock.h"
#include "base/limits.h"
#include "http/message.h"
#include "http/multipart.h"
#include "serve/api.h"
#include "serve/json.h"

namespace gantry {

using nlohmann::json;

namespace {

constexpr uint32_t kJobsListed = 100;  // unless ?limit= says otherwise
constexpr uint32_t kJobsListedMax = 1000;
constexpr int kPriorityMax = 100;
constexpr size_t kIdempotencyKeyMax = 200;
constexpr uint32_t kAttemptsMost = 1000;
constexpr size_t kUploadNameMax = 100;
constexpr int64_t kOlderMaxS = 100LL * 366 * 24 * 3600;
constexpr size_t kResultShown = 1 << 20;  // larger ones are fetched from .../result

std::optional<ApiError> read_text(const json& body, const char* key, std::string* out) {
  const auto found = body.find(key);
  if (found == body.end() || found->is_null()) return std::nullopt;
  if (!found->is_string()) return bad_request(std::string(key) + " must be a text", key);
  *out = found->get<std::string>();
  return std::nullopt;
}

// A stranger must not name our files in params either: only their free texts may look like paths.
std::optional<ApiError> refuse_paths(const json& params) {
  for (const auto& [key, value] : params.items()) {
    if (key == "prompt" || key == "system" || key == "text") continue;
    const std::string text = value.is_string() ? value.get<std::string>() : std::string();
    if (value.is_structured() || looks_like_path(text)) {
      return ApiError{403, "params." + key + " may name files over the unix socket only",
                      std::string(code_name(Code::kPermission)), "params"};
    }
  }
  return std::nullopt;
}

std::optional<ApiError> read_files(const json& body, bool local, JobSpec* spec) {
  const auto files = body.find("files");
  if (files == body.end() || files->is_null()) return std::nullopt;
  if (!files->is_array()) return bad_request("files must be a list of paths", "files");
  if (files->size() > kJobFilesMax) {
    return bad_request("more than " + std::to_string(kJobFilesMax) + " files", "files");
  }
  if (!local && !files->empty()) {
    return ApiError{403,
                    "files may be named over the unix socket only (use `gantry submit` on this "
                    "machine, or upload to /v1/audio/transcriptions)",
                    std::string(code_name(Code::kPermission)), "files"};
  }
  for (const json& file : *files) {
    if (!file.is_string()) return bad_request("files must be a list of paths", "files");
    const auto& path = file.get_ref<const std::string&>();
    if (!path.starts_with('/') || path.find('\0') != path.npos) {
      return bad_request("files must be absolute paths", "files");
    }
    spec->files.push_back(path);
  }
  return std::nullopt;
}

std::optional<ApiError> read_time(const json& body, const char* key, WallTime* out) {
  std::string text;
  if (auto error = read_text(body, key, &text)) return error;
  if (text.empty()) return std::nullopt;
  const std::optional<WallTime> time = parse_time(text);
  if (!time) {
    return bad_request(std::string(key) + " must be a time like 2026-01-31T22:00:00Z", key);
  }
  *out = *time;
  return std::nullopt;
}

// When it may run: times, other jobs, and how often.
std::optional<ApiError> read_conditions(const json& body, JobSpec* spec) {
  if (auto error = read_time(body, "not_before", &spec->not_before)) return error;
  if (auto error = read_time(body, "deadline", &spec->deadline)) return error;
  const json attempts = body.value("attempts_max", json(0U));
  if (!attempts.is_number_unsigned() || attempts > kAttemptsMost) {
    return bad_request("attempts_max must be a whole number from 0 to 1000", "attempts_max");
  }
  spec->attempts_max = attempts.get<uint32_t>();
  const json needs = body.value("depends_on", json::array());
  if (!needs.is_array() || needs.size() > kJobDependsMax) {
    return bad_request("depends_on must be a list of at most 256 job ids", "depends_on");
  }
  for (const json& id : needs) {
    if (!id.is_string() || !is_id(id.get_ref<const std::string&>())) {
      return bad_request("depends_on must be a list of job ids", "depends_on");
    }
    spec->depends_on.push_back(id.get<std::string>());
  }
  return std::nullopt;
}

std::optional<ApiError> read_flag(const json& body, const char* key, bool* out) {
  const auto found = body.find(key);
  if (found == body.end() || found->is_null()) return std::nullopt;
  if (!found->is_boolean()) return bad_request(std::string(key) + " must be true or false", key);
  *out = found->get<bool>();
  return std::nullopt;
}

std::optional<ApiError> read_spec(const json& body, bool local, JobSpec* spec) {
  if (auto error = read_text(body, "kind", &spec->kind)) return error;
  if (spec->kind.empty()) return bad_request("kind is missing", "kind");
  if (auto error = read_text(body, "idempotency_key", &spec->idempotency_key)) return error;
  if (spec->idempotency_key.size() > kIdempotencyKeyMax) {
    return bad_request("idempotency_key is too long", "idempotency_key");
  }
  const json params = body.value("params", json::object());
  if (!params.is_object()) return bad_request("params must be an object", "params");
  if (!local) {
    if (auto error = refuse_paths(params)) return error;
  }
  spec->params = dump(params);
  const json priority = body.value("priority", json(0));
  if (!priority.is_number_integer() || priority < -kPriorityMax || priority > kPriorityMax) {
    return bad_request("priority must be a whole number from -100 to 100", "priority");
  }
  spec->priority = priority.get<int>();
  if (auto error = read_conditions(body, spec)) return error;
  if (auto error = read_flag(body, "keep_files", &spec->keep)) return error;
  if (auto error = read_flag(body, "private", &spec->stays)) return error;
  if (auto error = read_text(body, "device_hint", &spec->device)) return error;
  const json words = body.value("on_shortage", json::array());
  const auto is_text = [](const json& word) { return word.is_string(); };
  if (!words.is_array() || !std::ranges::all_of(words, is_text)) {
    return bad_request("on_shortage must be a list of words", "on_shortage");
  }
  spec->shortage = words.get<std::vector<std::string>>();
  return read_files(body, local, spec);
}

// Uploaded files on their way into the foreman's own store: gone with this object.
class Uploads {
 public:
  explicit Uploads(Api& api) : api_(api) {}
  ~Uploads() {
    for (const std::string& path : written_) (void)api_.os.remove(path);
  }
  Uploads(const Uploads&) = delete;
  Uploads& operator=(const Uploads&) = delete;
  [[nodiscard]] Result<void> add(const http::FormPart& part, JobSpec* spec) {
    Rng rng = Rng::from_system();
    const std::string path =
        join_path(api_.options.spool_dir, make_id(api_.clock, rng) + ".upload");
    written_.push_back(path);
    spec->keep = true;
    spec->files.push_back(path);
    spec->names.push_back(plain_name(part.filename));
    return api_.os.write_file(path, part.content, 0600);
  }

 private:
  // A stranger's word for the file, as one that a folder of ours may have.
  static std::string plain_name(const std::string& given) {
    std::string name = base_name(given).substr(0, kUploadNameMax);
    for (char& c : name) {
      const bool sound = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                         (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
      if (!sound) c = '_';
    }
    return name.find_first_not_of('.') == name.npos ? "upload" : name;
  }

  Api& api_;
  std::vector<std::string> written_;
};

// A form: "job" is what a JSON body would be, every "file" an input.
std::optional<ApiError> read_form(Call& call, JobSpec* spec, Uploads* uploads) {
  const http::Request& request = call.request();
  auto form = http::parse_form(request.header("Content-Type"), request.body);
  if (!form) return bad_request(form.error().message);
  for (const http::FormPart& part : *form) {
    if (part.name != "job") continue;
    auto body = parse_json_object(part.content);
    if (!body) return bad_request(body.error().message, "job");
    if (auto error = read_spec(*body, call.exchange.local(), spec)) return error;
  }
  if (spec->kind.empty()) return bad_request("the part \"job\" is missing", "job");
  if (!spec->files.empty()) return bad_request("files are named, or uploaded, not both", "files");
  for (const http::FormPart& part : *form) {
    if (part.name == "job") continue;
    if (part.name != "file") return bad_request("there is no part " + part.name, part.name);
    if (part.content.empty()) return bad_request("a file is empty", "file");
    if (auto kept = uploads->add(part, spec); !kept) return api_error(kept.error());
  }
  return std::nullopt;
}

// What was uploaded has left the spool when this returns.
std::optional<ApiError> take_job(Call& call, std::string* id) {
  JobSpec spec;
  Uploads uploads(call.api);
  if (call.request().header("Content-Type").starts_with("multipart/form-data")) {
    if (auto error = read_form(call, &spec, &uploads)) return error;
  } else {
    auto body = parse_json_object(call.request().body);
    if (!body) return api_error(body.error());
    if (auto error = read_spec(*body, call.exchange.local(), &spec)) return error;
  }
  auto stored = call.api.foreman.submit(spec);
  if (!stored) return api_error(stored.error());
  *id = std::move(*stored);
  return std::nullopt;
}

// The job of the path's id, or nothing when answered.
std::optional<Job> find_job(Call& call) {
  if (is_id(call.argument)) {
    auto job = call.api.foreman.job(call.argument);
    if (job) return std::move(*job);
    if (job.error().code != Code::kNotFound) {
      call.reply(api_error(job.error()));
      return std::nullopt;
    }
  }
  call.reply(ApiError{404, "there is no such job (GET /v1/jobs lists them)",
                      std::string(code_name(Code::kNotFound)), {}});
  return std::nullopt;
}

// Carries out the user's word and answers with the job as it is then.
void change_job(Call& call, Result<void> (ForemanClient::*change)(const std::string& id)) {
  const auto job = find_job(call);
  if (!job) return;
  auto changed = (call.api.foreman.*change)(job->id);
  if (!changed) return call.reply(api_error(changed.error()));
  auto now = call.api.foreman.job(job->id);
  call.reply(json_response(200, job_json(now ? *now : *job)));
}

}  // namespace

void submit_job(Call& call) {
  std::string id;
  if (const auto error = take_job(call, &id)) return call.reply(*error);
  http::Response response = json_response(202, {{"id", id}});
  response.headers.emplace_back("Location", "/v1/jobs/" + id);
  call.reply(std::move(response));
}

void list_jobs(Call& call) {
  uint32_t limit = kJobsListed;
  if (const auto text = call.request().query("limit")) {
    const char* end = text->data() + text->size();
    const auto [stop, error] = std::from_chars(text->data(), end, limit);
    if (error != std::errc{} || stop != end || limit == 0 || limit > kJobsListedMax) {
      return call.reply(bad_request("limit must be from 1 to 1000", "limit"));
    }
  }
  JobQuery query{.limit = limit};
  if (const auto state = call.request().query("state")) {
    query.state = parse_job_state(*state);
    if (!query.state) return call.reply(bad_request("there is no such state", "state"));
  }
  if (const auto before = call.request().query("before")) {
    if (!is_id(*before)) return call.reply(bad_request("before must be a job id", "before"));
    query.before = *before;
  }
  if (const auto whole = call.request().query("part_of")) {
    if (!is_id(*whole)) return call.reply(bad_request("part_of must be a job id", "part_of"));
    query.part_of = *whole;
    if (auto there = call.api.foreman.job(*whole); !there) {
      return call.reply(api_error(there.error()));
    }
  }
  auto jobs = call.api.foreman.jobs(query);
  if (!jobs) return call.reply(api_error(jobs.error()));
  json list = json::array();
  for (const Job& job : *jobs) list.push_back(job_json(job));
  call.reply(json_response(200, {{"object", "list"}, {"data", list}}));
}

void show_job(Call& call) {
  const auto job = find_job(call);
  if (!job) return;
  if (job->state != JobState::kDone) return call.reply(json_response(200, job_json(*job)));
  auto result = call.api.foreman.result(job->id);
  if (!result) return call.reply(api_error(result.error()));
  const bool shown = result->size() <= kResultShown && !result->starts_with("RIFF");
  call.reply(json_response(200, job_json(*job, shown ? &*result : nullptr)));
}

void job_result(Call& call) {
  const auto job = find_job(call);
  if (!job) return;
  const bool lost = job->state == JobState::kFailed || job->state == JobState::kQuarantined;
  if (lost && job->error) return call.reply(api_error(*job->error));
  if (job->state != JobState::kDone) {
    const std::string state(job_state_name(job->state));
    return call.reply(ApiError{409, "the job is " + state + " and has no result",
                               std::string(code_name(Code::kConflict)), {}});
  }
  auto bytes = call.api.foreman.result(job->id);
  if (!bytes) return call.reply(api_error(bytes.error()));
  const bool is_json = bytes->starts_with('{') || bytes->starts_with('[');
  const bool is_wav = bytes->starts_with("RIFF");
  call.reply(text_response(200, is_json  ? "application/json"
                                : is_wav ? "audio/wav"
                                         : "text/plain; charset=utf-8",
                           std::move(*bytes)));
}

void job_events(Call& call) {
  const auto job = find_job(call);
  if (!job) return;
  http::Response head;
  head.headers = {{"Content-Type", "text/event-stream"}, {"Cache-Control", "no-cache"}};
  if (!call.exchange.begin(head)) return;
  auto watched = call.api.foreman.watch(
      job->id, call.exchange.gone(), [&](const std::string& line) {
        return call.exchange.write("data: " + line + "\n\n").has_value();
      });
  if (!watched && !call.exchange.gone()) {
    (void)call.exchange.write("data: " + dump(error_json(api_error(watched.error()))) + "\n\n");
  }
}

void cancel_job(Call& call) { change_job(call, &ForemanClient::cancel); }
void pause_job(Call& call) { change_job(call, &ForemanClient::pause); }
void resume_job(Call& call) { change_job(call, &ForemanClient::resume); }
void retry_job(Call& call) { change_job(call, &ForemanClient::retry); }

void prune_jobs(Call& call) {
  if (!call.exchange.local()) {
    return call.reply(ApiError{403, "jobs are pruned over the unix socket only",
                               std::string(code_name(Code::kPermission)), {}});
  }
  const auto body = read_body(call, false);
  if (!body) return;
  PruneWish wish;
  const json older = body->value("older_s", json());
  if (older.is_number_unsigned() && older <= kOlderMaxS) {
    wish.older = std::chrono::seconds(older.get<int64_t>());
  } else if (!older.is_null()) {
    return call.reply(bad_request("older_s must be seconds, at most a hundred years", "older_s"));
  }
  std::string state;
  if (const auto error = read_text(*body, "state", &state)) return call.reply(*error);
  wish.state = parse_job_state(state);
  if (!state.empty() && !wish.state) {
    return call.reply(bad_request("there is no such state", "state"));
  }
  if (const auto error = read_flag(*body, "dry_run", &wish.dry)) return call.reply(*error);
  auto ids = call.api.foreman.prune(wish);
  if (!ids) return call.reply(api_error(ids.error()));
  call.reply(json_response(200, {{"pruned", *ids}, {"dry_run", wish.dry}}));
}

void back_up(Call& call) {
  if (!call.exchange.local()) {
    return call.reply(ApiError{403, "backups are made over the unix socket only",
                               std::string(code_name(Code::kPermission)), {}});
  }
  const auto body = read_body(call, false);
  if (!body) return;
  std::string dir;
  if (const auto error = read_text(*body, "dir", &dir)) return call.reply(*error);
  if (!dir.starts_with('/')) return call.reply(bad_request("dir must be an absolute path", "dir"));
  if (auto made = call.api.foreman.backup(dir); !made) return call.reply(api_error(made.error()));
  call.reply(json_response(200, {{"dir", dir}}));
}

}  // namespace gantry
