// For tests: the foreman's door over tables, with one FakeWorker behind every model.
#pragma once

#include <algorithm>

#include "serve/fake_foreman.h"
#include "serve/fake_jobs.h"
#include "serve/fake_session.h"

namespace gantry {

class FakeClient final : public FakeJobs {
 public:
  FakeClient() : worker(llama.address()) {
    for (const auto& [name, kind] : {std::pair{"chat", "language"}, std::pair{"ears", "speech"},
                                     std::pair{"eyes", "vision"}, std::pair{"vec", "embedding"}}) {
      ModelStatus model;
      model.name = name;
      model.kind = kind;
      model.state = "unloaded";
      table.push_back(model);
    }
  }
  FakeLlama llama;
  FakeWorker worker;
  std::vector<ModelStatus> table;
  std::map<std::string, std::string> aliases;
  LeaseWish leased;
  std::vector<LeaseStatus> held;
  std::vector<ModeStatus> mode_table;
  std::optional<Error> open_fault, decode_fault, watch_fault;
  std::string job_result = "{\"text\":\"done\"}";
  std::vector<std::string> events;
  bool hold_open = false, hold_events = false;  // until cancelled; until the watcher leaves
  std::atomic<int> lent{0}, sessions{0}, opened{0}, waiting{0}, watched{0};
  std::atomic<uint64_t> tokens{0};  // that sessions told of
  std::vector<LoadSeen> loads;
  std::atomic<bool> trusted{false}, stays{false};
  std::string loaded, unloaded, decoded_bytes;  // the last: what was in decode's file
  [[nodiscard]] Result<std::unique_ptr<Session>> open(const std::string& model,
                                                      const http::Cancel& cancel,
                                                      bool is_trusted, bool is_private) override {
    trusted = is_trusted;
    stays = is_private;
    if (hold_open) {
      ++waiting;
      while (!cancel) std::this_thread::sleep_for(Millis{1});
      --waiting;
      return fail(Code::kCancelled, "cancelled");
    }
    if (open_fault) return fail(*open_fault);
    const std::string name = aliases.contains(model) ? aliases.at(model) : model;
    const bool known = std::any_of(table.begin(), table.end(),
                                   [&](const ModelStatus& row) { return row.name == name; });
    if (!known && !is_trusted) return fail(Code::kNotFound, "no model " + name);
    ++opened;
    return std::make_unique<FakeSession>(name, worker, sessions, tokens);
  }
  [[nodiscard]] Result<StepReport> decode(const std::string& file, const std::string& wav,
                                          const http::Cancel&) override {
    auto os = make_real_os();
    decoded_bytes = os->read_file(file, MiB(1)).value_or("?");
    if (decode_fault) return fail(*decode_fault);
    (void)os->write_file(wav, std::string(44 + 32'000, '\0'), 0600);
    return StepReport{};
  }
  [[nodiscard]] Result<std::unique_ptr<DeviceLease>> lease(const LeaseWish& wish,
                                                           const http::Cancel&) override {
    leased = wish;
    if (wish.device != "gpu0") return fail(Code::kNotFound, "there is no device " + wish.device);
    return std::make_unique<FakeLease>(lent, wish.bytes);
  }
  [[nodiscard]] Result<std::string> result(const std::string&) override { return job_result; }
  [[nodiscard]] Result<void> watch(
      const std::string&, const http::Cancel& gone,
      const std::function<bool(const std::string&)>& on_event) override {
    if (watch_fault) return fail(*watch_fault);
    for (const std::string& event : events) {
      if (!on_event(event)) break;
    }
    while (hold_events && !gone) std::this_thread::sleep_for(Millis{1});
    ++watched;
    return {};
  }
  [[nodiscard]] Result<std::string> log(const std::string& model, Bytes) override {
    if (model != "chat") return fail(Code::kNotFound, "no model");
    return std::string("last words\n");
  }
  std::vector<ModelStatus> models() override { return table; }
  std::vector<LedgerStatus> ledger() override {
    return {{"cpu", MiB(300), MiB(100), MiB(90), MiB(50), {{77, "train", MiB(20)}}}};
  }
  std::vector<LeaseStatus> leases() override { return held; }
  std::vector<ModeStatus> modes() override { return mode_table; }
  [[nodiscard]] Result<ModeStatus> set_mode(const std::string& model,
                                            std::optional<Mode> mode) override {
    for (ModeStatus& known : mode_table) {
      if (known.model != model) continue;
      known.mode = mode.value_or(known.configured);
      return known;
    }
    return fail(Code::kNotFound, model + " is not one of several models");
  }
  [[nodiscard]] Result<std::vector<LoadSeen>> history(const std::string& model,
                                                      uint32_t limit) override {
    std::vector<LoadSeen> found;
    for (const LoadSeen& seen : loads) {
      if ((model.empty() || seen.model == model) && found.size() < limit) found.push_back(seen);
    }
    return found;
  }
  std::vector<LoadSeen> last_loads() override { return loads; }
  [[nodiscard]] Result<void> load(const std::string& model, bool is_trusted) override {
    trusted = is_trusted;
    if (open_fault) return fail(*open_fault);
    loaded = model;
    return {};
  }
  [[nodiscard]] Result<void> unload(const std::string& model) override {
    unloaded = model;
    return {};
  }
};

}  // namespace gantry
