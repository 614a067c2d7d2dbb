// For tests: a foreman whose models are functions, a job context that is a map.
#pragma once

#include <map>
#include <mutex>
#include <nlohmann/json.hpp>

#include "base/fake_os.h"
#include "foreman/client.h"
#include "pipe/fake_model.h"
#include "pipe/fake_session.h"

namespace gantry {

class FakeForemanForPipes final : public ForemanClient {
 public:
  FakeModelWorker worker;
  FakeOs os;  // where decode() writes
  std::vector<std::string> opened;  // in order
  uint64_t tokens = 0;
  double sound_s = 0;  // that was heard, as sessions were told
  std::map<std::string, std::pair<std::string, std::string>> instead;  // model: who answers, why
  std::atomic<int> open_now = 0;  // sessions may be opened on several threads
  int open_most = 0, decodes = 0;
  std::mutex mutex;
  std::map<std::string, Error> refuse;  // by model
  std::vector<ModelStatus> known;

  [[nodiscard]] Result<std::unique_ptr<Session>> open(const std::string& model, const http::Cancel&,
                                                      bool, bool) override {
    if (const auto found = refuse.find(model); found != refuse.end()) return fail(found->second);
    const std::lock_guard lock(mutex);
    opened.push_back(model);
    const auto other = instead.find(model);
    auto [name, why] = other == instead.end() ? std::pair{model, std::string()} : other->second;
    auto session =
        std::make_unique<FakeSession>(name, worker, &open_now, &tokens, &sound_s, why);
    open_most = std::max(open_most, open_now.load());
    return session;
  }
  std::map<std::string, std::string> detectors;  // by recogniser
  std::string detector_of(const std::string& model) const override {
    const auto found = detectors.find(model);
    return found == detectors.end() ? std::string() : found->second;
  }
  [[nodiscard]] Result<StepReport> decode(const std::string&, const std::string& wav,
                                          const http::Cancel&) override {
    ++decodes;
    os.files[wav] = "RIFF";
    return StepReport{"decode", "ffmpeg", "cpu", MiB(60), MiB(50), 0, 0.1};
  }
  [[nodiscard]] Result<std::unique_ptr<DeviceLease>> lease(const LeaseWish&,
                                                           const http::Cancel&) override {
    return unused();
  }
  [[nodiscard]] Result<std::string> submit(const JobSpec&) override { return unused(); }
  [[nodiscard]] Result<Job> job(const std::string&) override { return unused(); }
  [[nodiscard]] Result<std::vector<Job>> jobs(const JobQuery&) override { return unused(); }
  [[nodiscard]] Result<JobTally> tally() override { return unused(); }
  [[nodiscard]] Result<void> cancel(const std::string&) override { return unused(); }
  [[nodiscard]] Result<void> pause(const std::string&) override { return unused(); }
  [[nodiscard]] Result<void> resume(const std::string&) override { return unused(); }
  [[nodiscard]] Result<void> retry(const std::string&) override { return unused(); }
  using Ids = std::vector<std::string>;
  [[nodiscard]] Result<Ids> prune(const PruneWish&) override { return unused(); }
  [[nodiscard]] Result<void> backup(const std::string&) override { return unused(); }
  [[nodiscard]] Result<std::string> result(const std::string&) override { return unused(); }
  [[nodiscard]] Result<void> watch(const std::string&, const http::Cancel&,
                                   const std::function<bool(const std::string&)>&) override {
    return unused();
  }
  [[nodiscard]] Result<std::string> log(const std::string&, Bytes) override { return unused(); }
  std::vector<ModelStatus> models() override { return known; }
  std::vector<LeaseStatus> leases() override { return {}; }
  std::vector<ModeStatus> modes() override { return {}; }
  [[nodiscard]] Result<ModeStatus> set_mode(const std::string&, std::optional<Mode>) override {
    return unused();
  }
  std::vector<LedgerStatus> ledger() override { return {}; }
  [[nodiscard]] Result<std::vector<LoadSeen>> history(const std::string&, uint32_t) override {
    return unused();
  }
  std::vector<LoadSeen> last_loads() override { return {}; }
  [[nodiscard]] Result<void> load(const std::string&, bool) override { return unused(); }
  [[nodiscard]] Result<void> unload(const std::string&) override { return unused(); }
  static tl::unexpected<Error> unused() { return fail(Code::kInternal, "not for pipes"); }
};

class FakeJobContext final : public JobContext {
 public:
  FakeForemanForPipes& fake;
  Job the_job;
  http::Cancel cancel{false};
  std::map<std::string, std::string> kept;
  std::map<std::string, std::pair<std::string, std::string>> parts;  // by name: params, result
  std::vector<nlohmann::json> events;
  double last_fraction = 0;
  bool went_back = false;
  std::optional<Error> fail_saving;

  FakeJobContext(FakeForemanForPipes& foreman, JobSpec spec)
      : fake(foreman), the_job{.spec = std::move(spec)} {}
  ForemanClient& foreman() override { return fake; }
  const Job& job() const override { return the_job; }
  const http::Cancel& cancelled() const override { return cancel; }
  std::string dir() const override { return "/nowhere"; }
  std::optional<std::string> checkpoint(const std::string& step) override {
    const auto found = kept.find(step);
    if (found == kept.end()) return std::nullopt;
    return found->second;
  }
  [[nodiscard]] Result<void> save_checkpoint(const std::string& step,
                                             std::string_view bytes) override {
    if (fail_saving) return fail(*fail_saving);
    kept[step] = std::string(bytes);
    return {};
  }
  [[nodiscard]] Result<std::string> part(const std::string& name, const nlohmann::json& params,
                                         const Work& work) override {
    if (const auto done = part_done(name, params)) return *done;
    Result<std::string> result = work();
    if (!result) return result;
    if (fail_saving) return fail(*fail_saving);
    parts[name] = {params.dump(), *result};
    return result;
  }
  std::optional<std::string> part_done(const std::string& name,
                                       const nlohmann::json& params) override {
    const auto found = parts.find(name);
    if (found == parts.end() || found->second.first != params.dump()) return std::nullopt;
    return found->second.second;
  }
  void progress(double fraction, std::string_view) override {
    went_back = went_back || fraction < last_fraction - 1e-9;
    last_fraction = fraction;
  }
  void event(const nlohmann::json& event) override { events.push_back(event); }
};

}  // namespace gantry
