// The job threads.
#include "foreman/runner.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "base/limits.h"
#include "foreman/job_state.h"
#include "foreman/loadable.h"
#include "foreman/sha256.h"

namespace gantry {

namespace {

// A queue that cannot be read or written is looked at again after so long.
constexpr Millis kStorePause{1'000};
// Jobs that wait for a time are looked for so often at least: the wall clock may jump.
constexpr Millis kDuePause{10'000};
// An idle daemon looks so often whether there is something to prune.
constexpr Millis kIdle = std::chrono::hours(1);
// Less progress than this says nothing about the time that is left.
constexpr double kTellingProgress = 0.02;
// Different ones that are kept with a job: model, device and reason.
constexpr size_t kAnswersMax = 32;

bool is_retryable(Code code) {
  return code == Code::kWorkerFailed || code == Code::kUnavailable || code == Code::kTimeout;
}

std::string dump(const nlohmann::json& value) {
  return value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string state_event(JobState state, const Job& job, const Error* error) {
  nlohmann::json event = {
      {"type", "state"}, {"state", job_state_name(state)}, {"attempt", job.attempts}};
  if (error != nullptr) event["message"] = error->message;
  return dump(event);
}

}  // namespace

Result<FileIdentity> identify(Os& os, const std::string& path) {
  Result<FileInfo> info = os.stat(path);
  if (!info) return fail(info.error());
  return FileIdentity{path, info->size, info->mtime_ns, info->inode};
}

// A claimed job and the context its executor gets.
class Runner::Active final : public JobContext {
 public:
  Active(Runner& runner, Claim claimed)
      : claim(std::move(claimed)),
        answered(claim.job.answered),
        runner_(runner),
        dir_(runner.job_dir(claim.job.id)) {}

  ForemanClient& foreman() override { return *runner_.options_.foreman; }
  const Job& job() const override { return claim.job; }
  const http::Cancel& cancelled() const override { return cancel; }
  std::string dir() const override { return join_path(dir_, "work"); }

  std::optional<std::string> checkpoint(const std::string& step) override {
    Result<std::vector<Checkpoint>> kept = runner_.options_.store->checkpoints(claim.job.id);
    if (!kept) return std::nullopt;
    const auto found = std::ranges::find(*kept, step, &Checkpoint::step);
    if (found == kept->end()) return std::nullopt;
    const std::string file = join_path(join_path(dir_, "steps"), found->file);
    Result<std::string> bytes = runner_.options_.os->read_file(file, kCheckpointMax);
    if (bytes && sha256_hex(*bytes) == found->sha256) return std::move(*bytes);
    // A step that cannot be trusted is done again.
    runner_.options_.log->warn("checkpoint_damaged", {{"job", claim.job.id}, {"step", step}});
    return std::nullopt;
  }

  Result<void> save_checkpoint(const std::string& step, std::string_view bytes) override {
    if (bytes.size() > kCheckpointMax.n) {
      return fail(Code::kTooLarge, fmt::format("a checkpoint of {}; the limit is {}",
                                               format_bytes({bytes.size()}),
                                               format_bytes(kCheckpointMax)));
    }
    // The token in the name: a stale holder can never write over what a newer one recorded.
    const Checkpoint kept{step, fmt::format("{}.{}", sha256_hex(step).substr(0, 24), claim.token),
                          sha256_hex(bytes)};
    const std::string file = join_path(join_path(dir_, "steps"), kept.file);
    Result<void> done = runner_.options_.os->write_file(file, bytes, 0600);
    if (done) done = runner_.options_.store->add_checkpoint(claim.job.id, claim.token, kept);
    return done;
  }

  Result<std::string> part(const std::string& name, const nlohmann::json& params,
                           const Work& work) override {
    return runner_.run_part(*this, name, dump(params), work);
  }
  std::optional<std::string> part_done(const std::string& name,
                                       const nlohmann::json& params) override {
    const auto found = runner_.options_.store->jobs({.part_of = claim.job.id, .part = name});
    if (!found || found->empty() || found->front().state != JobState::kDone) return std::nullopt;
    if (found->front().spec.params != dump(params)) return std::nullopt;
    Result<std::string> bytes = runner_.kept_result(found->front());
    if (!bytes) return std::nullopt;
    return std::move(*bytes);
  }

  void progress(double fraction, std::string_view step) override {
    const double sound = std::clamp(fraction, 0.0, 1.0);
    {
      const std::lock_guard lock(mutex_);
      if (first_at_ == Millis(0)) {
        first_at_ = runner_.options_.clock->steady();
        first_progress_ = sound;
      }
      progress_ = sound;
      step_ = step;
    }
    runner_.options_.events->progress(
        claim.job.id, dump({{"type", "progress"}, {"fraction", sound}, {"step", step}}));
  }
  void event(const nlohmann::json& event) override {
    runner_.options_.events->add(claim.job.id, dump(event));
  }
  void fill_in(Job* job, Millis now) {
    const std::lock_guard lock(mutex_);
    job->progress = progress_;
    job->step = step_;
    // What a checkpoint gave at once says nothing about the rest: from the first progress on.
    const double done = progress_ - first_progress_;
    if (done < kTellingProgress || now <= first_at_) return;
    const double spent = std::chrono::duration<double>(now - first_at_).count();
    job->remaining_s = spent * (1 - progress_) / done;
  }
  const std::string& folder() const { return dir_; }

  const Claim claim;
  http::Cancel cancel{false};
  std::string device, answered;  // under the runner's mutex

 private:
  Runner& runner_;
  const std::string dir_;
  Mutex mutex_;
  double progress_ = 0, first_progress_ = 0;
  Millis first_at_{0};
  std::string step_;
};

Runner::Runner(RunnerOptions options) : options_(std::move(options)) {}

Runner::~Runner() {
  begin_stop();
  finish_stop();
}

std::string Runner::job_dir(const std::string& id) const {
  return join_path(options_.jobs_dir, id);
}

void Runner::start() {
  if (Result<std::vector<Job>> ended = options_.store->unswept(); ended) {
    for (const Job& job : *ended) sweep(job);
  }
  for (uint32_t i = 0; i < options_.threads; ++i) threads_.emplace_back([this] { work(); });
}

void Runner::work() {
  uint64_t seen = 0;
  while (!stopping()) {
    options_.pruner->now_and_then();
    Result<std::optional<Claim>> claim = options_.store->claim(options_.clock->wall());
    if (claim && *claim) {
      run_one(std::move(**claim));
      continue;
    }
    std::unique_lock lock(mutex_);
    if (!claim) {
      options_.log->error("claim_failed", {{"error", claim.error().message}});
      changed_.wait_for(lock, kStorePause, [&] { return stopping_; });
    } else {
      // A job that was submitted after the claim looked has raised wakes_ meanwhile.
      changed_.wait_for(lock, idle_time(), [&] { return stopping_ || wakes_ != seen; });
      seen = wakes_;
    }
  }
}

// How long there is nothing to do but for what somebody submits.
Millis Runner::idle_time() {
  Result<std::optional<WallTime>> due = options_.store->next_due();
  if (!due) return kStorePause;
  if (!*due) return kIdle;
  return std::clamp(**due - options_.clock->wall(), Millis(1), kDuePause);
}

void Runner::run_one(Claim claim) {
  // Its executor finds what was kept for it in the job's folder, under the name it was given.
  for (size_t i = 0; i < claim.files.size(); ++i) {
    if (claim.files[i].sha256.empty()) continue;
    claim.job.spec.files[i] = join_path(
        join_path(join_path(job_dir(claim.job.id), "inputs"), std::to_string(i)),
        base_name(claim.files[i].path));
  }
  Active active(*this, std::move(claim));
  const Job& job = active.claim.job;
  {
    std::unique_lock lock(mutex_);
    // An attempt that was paused or cancelled may be on its way out still, and has the same folder.
    changed_.wait(lock, [&] {
      return std::ranges::none_of(
          active_, [&](const Active* other) { return other->claim.job.id == job.id; });
    });
    active_.push_back(&active);
    if (stopping_) active.cancel = true;
  }
  options_.events->add(job.id, state_event(JobState::kRunning, job, nullptr));
  options_.log->info("job_started", {{"job", job.id}, {"kind", job.spec.kind},
                                     {"attempt", std::to_string(job.attempts)}});
  // A cancel between the claim and the list above found nobody to tell; it may be pruned by now.
  const Result<Job> now = look(job.id);
  if (now ? now->state != JobState::kRunning : now.error().code == Code::kNotFound) {
    active.cancel = true;
  }
  record_for_certain(active, execute(active));
  leave(job);
  {
    const std::lock_guard lock(mutex_);
    active_.remove(&active);
  }
  changed_.notify_all();
}

// A row that cannot be read is asked for again until the daemon stops: a cancelled job might go on
// for hours, or one who watches it wait for ever.
Result<Job> Runner::look(const std::string& id) {
  for (;;) {
    Result<Job> job = options_.store->job(id);
    if (job || job.error().code == Code::kNotFound) return job;
    options_.log->error("look_failed", {{"job", id}, {"error", job.error().message}});
    std::unique_lock lock(mutex_);
    if (changed_.wait_for(lock, kStorePause, [&] { return stopping_; })) return job;
  }
}

// What is to be told and cleaned once an attempt is over.
void Runner::leave(const Job& job) {
  Result<Job> now = look(job.id);
  if (!now && now.error().code == Code::kNotFound) {
    (void)options_.os->remove(job_dir(job.id));  // pruned before this attempt had begun
    options_.events->end(job.id);
  }
  if (!now) return;
  const Error* error = now->error ? &*now->error : nullptr;
  options_.events->add(job.id, state_event(now->state, *now, error));
  options_.log->info("job_left",
                     {{"job", job.id}, {"state", std::string(job_state_name(now->state))}});
  if (is_final(now->state)) {
    options_.events->end(job.id);
    sweep(*now);
  }
}

Result<std::string> Runner::kept_result(const Job& job) {
  const std::string file = join_path(job_dir(job.id), job.result_file);
  Result<std::string> bytes = options_.os->read_file(file, kJobResultMax);
  if (bytes && sha256_hex(*bytes) != job.result_sha256) {
    bytes = fail(Code::kCorrupt, file + " is not what the part wrote");
  }
  if (bytes) return bytes;
  options_.log->warn("part_damaged", {{"job", job.id}, {"error", bytes.error().message}});
  return bytes;
}

// One claim inside the other: the whole's thread, sessions and cancel flag are the part's. What it
// tells is told of the whole.
Result<std::string> Runner::run_part(Active& whole, const std::string& name,
                                     const std::string& params, const JobContext::Work& work) {
  Job wanted;
  wanted.id = options_.new_id();
  wanted.part = name;
  wanted.spec.params = params;
  Result<Claim> claimed = options_.store->claim_part(whole.claim.job.id, whole.claim.token, wanted,
                                                     options_.clock->wall());
  if (!claimed) return fail(claimed.error());
  if (claimed->job.state == JobState::kDone) {
    Result<std::string> bytes = kept_result(claimed->job);
    return bytes ? bytes : work();  // what is done stays so: its bytes alone are made again
  }
  Active part(*this, std::move(*claimed));
  const Job& job = part.claim.job;
  Result<void> made = options_.os->make_dirs(part.folder(), 0700);
  Result<std::string> outcome = made ? work() : fail(made.error());
  {
    const std::lock_guard lock(mutex_);
    part.device = whole.device;
  }
  const bool broken_off = !outcome && whole.cancel;
  Result<void> recorded = broken_off ? options_.store->unclaim(job.id, part.claim.token)
                                     : record(part, outcome);
  // What cannot be swept now is swept by the next start.
  if (const Result<Job> now = options_.store->job(job.id); now && is_final(now->state)) sweep(*now);
  if (outcome && !recorded) return fail(recorded.error());
  return outcome;
}

Result<std::string> Runner::execute(Active& active) {
  const Claim& claim = active.claim;
  if (active.cancel) return fail(Code::kCancelled, "cancelled before it began");
  const auto executor = options_.executors->find(claim.job.spec.kind);
  if (executor == options_.executors->end()) {
    return fail(Code::kUnsupported, "this version has no jobs of kind " + claim.job.spec.kind);
  }
  if (Result<void> ready = prepare(claim); !ready) return fail(ready.error());
  try {
    Result<std::string> bytes = executor->second->run(active);
    if (bytes && bytes->size() > kJobResultMax.n) {
      return fail(Code::kTooLarge, fmt::format("a result of {}; the limit is {}",
                                               format_bytes({bytes->size()}),
                                               format_bytes(kJobResultMax)));
    }
    return bytes;
  } catch (const std::exception& e) {
    return fail(Code::kInternal, fmt::format("the job's executor failed: {}", e.what()));
  }
}

// Those read by path are as they were at submit; those kept are the bytes that were kept.
Result<void> Runner::prepare_inputs(const Claim& claim) {
  // What an earlier attempt was given may have been damaged, and replaced since.
  if (Result<void> gone = options_.os->remove(join_path(job_dir(claim.job.id), "inputs")); !gone) {
    return gone;
  }
  for (size_t i = 0; i < claim.files.size(); ++i) {
    const FileIdentity& file = claim.files[i];
    if (!file.sha256.empty()) {
      const std::string& path = claim.job.spec.files[i];
      Result<void> placed = options_.os->make_dirs(dir_name(path), 0700);
      if (placed) placed = options_.inputs->place(file, path);
      if (!placed) return placed;
      continue;
    }
    Result<FileIdentity> now = identify(*options_.os, file.path);
    if (!now) return fail(now.error());
    if (*now != file) {
      return fail(Code::kConflict, file.path + " has changed since the job was submitted",
                  "submit it again; with --keep a copy is made then");
    }
  }
  return {};
}

// The inputs are there, the folder is, and nothing half-written is in it.
Result<void> Runner::prepare(const Claim& claim) {
  const std::string dir = job_dir(claim.job.id);
  for (const char* part : {"work", "steps"}) {
    Result<void> made = options_.os->make_dirs(join_path(dir, part), 0700);
    if (!made) return made;
  }
  if (Result<void> given = prepare_inputs(claim); !given) return given;
  Result<std::vector<Checkpoint>> kept = options_.store->checkpoints(claim.job.id);
  if (!kept) return fail(kept.error());
  Result<std::vector<std::string>> there = options_.os->list(join_path(dir, "steps"));
  if (!there) return fail(there.error());
  for (const std::string& name : *there) {
    if (std::ranges::find(*kept, name, &Checkpoint::file) == kept->end()) {
      (void)options_.os->remove(join_path(join_path(dir, "steps"), name));
    }
  }
  return {};
}

void Runner::record_for_certain(Active& active, const Result<std::string>& outcome) {
  for (;;) {
    Result<void> recorded = record(active, outcome);
    if (recorded) return;
    // Cancelled meanwhile, or not ours any more: what we have is not wanted.
    if (recorded.error().code == Code::kConflict) return;
    if (recorded.error().code == Code::kNotFound) return;  // pruned after it was cancelled
    options_.log->error("record_failed", {{"job", active.claim.job.id},
                                          {"error", recorded.error().message}});
    std::unique_lock lock(mutex_);
    // The row stays 'running': the next start puts it back in line.
    if (changed_.wait_for(lock, kStorePause, [&] { return stopping_; })) return;
  }
}

Result<void> Runner::record(Active& active, const Result<std::string>& outcome) {
  const Claim& claim = active.claim;
  std::string device, answered;
  {
    const std::lock_guard lock(mutex_);
    device = active.device;
    answered = active.answered;
  }
  const bool news = device != claim.job.device || answered != claim.job.answered;
  if (!device.empty() && news) {
    Result<void> set = options_.store->set_device(claim.job.id, claim.token, device, answered);
    if (!set) return set;
  }
  if (outcome) return record_done(active, *outcome);
  return record_failed(active, outcome.error());
}

Result<void> Runner::record_done(Active& active, const std::string& bytes) {
  const Claim& claim = active.claim;
  const std::string name = fmt::format("result.{}", claim.token);
  const std::string file = join_path(active.folder(), name);
  if (Result<void> written = options_.os->write_file(file, bytes, 0600); !written) return written;
  Result<void> done = options_.store->finish(claim.job.id, claim.token, name, sha256_hex(bytes),
                                             options_.clock->wall());
  if (!done && done.error().code == Code::kConflict) (void)options_.os->remove(file);
  if (done) wake();  // others may have waited for it
  return done;
}

Result<void> Runner::record_failed(Active& active, const Error& error) {
  const Claim& claim = active.claim;
  const std::string& id = claim.job.id;
  if (active.cancel && stopping()) return options_.store->unclaim(id, claim.token);
  if (!is_retryable(error.code)) {
    return options_.store->fail_job(id, claim.token, error, options_.clock->wall());
  }
  Result<JobState> became = options_.store->retry(
      id, claim.token, error, evidence_of(active, error), options_.clock->wall());
  if (!became) return fail(became.error());
  if (*became == JobState::kQueued && claim.job.part_of.empty()) {
    options_.events->add(id, dump({{"type", "retry"}, {"message", error.message}}));
  }
  wake();
  return {};
}

// An ended job keeps its result and nothing else.
void Runner::sweep(const Job& job) {
  if (job.state == JobState::kQuarantined) return;  // what it made is evidence
  const std::string dir = job_dir(job.id);
  Result<void> swept;
  if (job.state != JobState::kDone) {
    swept = options_.os->remove(dir);
  } else if (Result<std::vector<std::string>> there = options_.os->list(dir); there) {
    for (const std::string& name : *there) {
      if (name != job.result_file && swept) swept = options_.os->remove(join_path(dir, name));
    }
  }
  if (job.state == JobState::kDone) options_.inputs->let_go(job.input_sha256);
  if (swept) swept = options_.store->mark_swept(job.id);
  if (!swept) options_.log->warn("not_swept", {{"job", job.id}, {"error", swept.error().message}});
}

// What an attempt left behind that its worker did not survive. The message holds how the worker
// ended and the last lines of its log.
std::string Runner::evidence_of(const Active& active, const Error& error) {
  if (error.code != Code::kWorkerFailed) return {};
  std::string device;
  {
    const std::lock_guard lock(mutex_);
    device = active.device;
  }
  return dump({{"attempt", active.claim.job.attempts},
               {"at", format_time(options_.clock->wall())},
               {"device", device},
               {"code", code_name(error.code)},
               {"message", error.message}});
}

void Runner::wake() {
  {
    const std::lock_guard lock(mutex_);
    ++wakes_;
  }
  changed_.notify_all();
}

void Runner::cancelled(const Job& job) {
  {
    const std::lock_guard lock(mutex_);
    for (Active* active : active_) {
      if (active->claim.job.id != job.id) continue;
      active->cancel = true;
      return;
    }
  }
  // Nobody runs it: its story ends here.
  options_.events->add(job.id, state_event(job.state, job, nullptr));
  options_.events->end(job.id);
  sweep(job);
}

void Runner::paused(const std::string& id) {
  const std::lock_guard lock(mutex_);
  for (Active* active : active_) {
    if (active->claim.job.id == id) active->cancel = true;
  }
}

void Runner::fill_in(Job* job) {
  const std::lock_guard lock(mutex_);
  for (Active* active : active_) {
    if (active->claim.job.id == job->id && job->state == JobState::kRunning) {
      active->fill_in(job, options_.clock->steady());
    }
  }
}

uint32_t Runner::running() {
  const std::lock_guard lock(mutex_);
  return static_cast<uint32_t>(active_.size());
}

int Runner::priority_of(const http::Cancel& cancel) {
  const std::lock_guard lock(mutex_);
  for (const Active* active : active_) {
    if (&active->cancel == &cancel) return active->claim.job.spec.priority;
  }
  return 0;
}

bool Runner::is_job(const http::Cancel& cancel) {
  const std::lock_guard lock(mutex_);
  return std::ranges::any_of(active_, [&](Active* active) { return &active->cancel == &cancel; });
}

Runner::Ways Runner::ways_of(const http::Cancel& cancel) {
  const std::lock_guard lock(mutex_);
  Ways ways;
  for (const Active* active : active_) {
    if (&active->cancel != &cancel) continue;
    const JobSpec& spec = active->claim.job.spec;
    if (!spec.device.empty()) ways.device = "#device=" + spec.device;
    if (!spec.shortage.empty()) {
      ways.shortage = fmt::format("#shortage={}", fmt::join(spec.shortage, ","));
    }
    ways.stays = spec.stays;
  }
  return ways;
}

// What has left the machine is on the disk before a byte of it leaves; the rest is with the result.
void Runner::answered_by(const http::Cancel& cancel, const Session& session) {
  const std::string device = session.device();
  const nlohmann::json answer = {
      {"model", session.model()}, {"device", device}, {"why", session.why()}};
  Active* job = nullptr;  // the caller's own: it does not end meanwhile
  std::string answered;
  {
    const std::lock_guard lock(mutex_);
    for (Active* active : active_) {
      if (&active->cancel == &cancel) job = active;
    }
    if (job == nullptr) return;
    if (job->device != device) {
      job->device = device;
      options_.events->add(job->claim.job.id, dump({{"type", "device"}, {"device", device}}));
    }
    nlohmann::json all = nlohmann::json::parse(job->answered, nullptr, false);
    if (!all.is_array()) all = nlohmann::json::array();  // the first one
    if (std::ranges::find(all, answer) != all.end() || all.size() >= kAnswersMax) return;
    all.push_back(answer);
    job->answered = answered = dump(all);
    if (!session.why().empty()) {
      nlohmann::json event = answer;
      event["type"] = "answered_by";
      options_.events->add(job->claim.job.id, dump(event));
    }
  }
  if (device != kCloudDevice) return;
  const std::string& id = job->claim.job.id;
  options_.log->info("job_sent_away", {{"job", id}, {"to", session.model()}});
  Result<void> kept = options_.store->set_device(id, job->claim.token, device, answered);
  if (!kept) options_.log->warn("answer_unrecorded", {{"error", kept.error().message}});
}

void Runner::tell_all(const std::string& event) {
  const std::lock_guard lock(mutex_);
  for (const Active* active : active_) options_.events->add(active->claim.job.id, event);
}

bool Runner::stopping() {
  const std::lock_guard lock(mutex_);
  return stopping_;
}

void Runner::begin_stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    for (Active* active : active_) active->cancel = true;
  }
  changed_.notify_all();
}

void Runner::finish_stop() {
  for (Thread& thread : threads_) thread.join();
  threads_.clear();
}

}  // namespace gantry
