// One device after another kind of work, each told as soon as it is known.
#include "worker/calibrate.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <exception>
#include <new>
#include <nlohmann/json.hpp>
#include <string_view>

#include "worker/calibrate_graph.h"
#include "worker/events.h"

namespace gantry {

namespace {

using nlohmann::json;

struct Kind {
  std::string_view name;  // as ModelCard::quantisation has it
  ggml_type type;
  bool quick;
};
// What models are distributed in; those of a quick run are what most of them are.
constexpr std::array<Kind, 11> kKinds = {{{"F16", GGML_TYPE_F16, true},
                                          {"BF16", GGML_TYPE_BF16, false},
                                          {"Q8_0", GGML_TYPE_Q8_0, true},
                                          {"Q6_K", GGML_TYPE_Q6_K, false},
                                          {"Q5_K", GGML_TYPE_Q5_K, false},
                                          {"Q4_K", GGML_TYPE_Q4_K, true},
                                          {"Q4_0", GGML_TYPE_Q4_0, true},
                                          {"Q3_K", GGML_TYPE_Q3_K, false},
                                          {"IQ4_XS", GGML_TYPE_IQ4_XS, false},
                                          {"MXFP4", GGML_TYPE_MXFP4, false},
                                          {"F32", GGML_TYPE_F32, false}}};

// What the engine says of each matrix is of no use here.
void hear(ggml_log_level level, const char* text, void*) {
  if (level != GGML_LOG_LEVEL_WARN && level != GGML_LOG_LEVEL_ERROR) return;
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, text, std::strlen(text));
}

int usable_processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  return ::sched_getaffinity(0, sizeof set, &set) == 0 ? std::max(1, CPU_COUNT(&set)) : 1;
}

bool asked(const std::vector<std::string>& only, std::string_view name) {
  return std::ranges::find(only, name) != only.end();
}

// The whole calibration of one device.
class Calibration {
 public:
  Calibration(const CalibrateOptions& options, const std::atomic<bool>& cancel,
              const std::function<void(const json&)>& on_event)
      : options_(options), on_event_(on_event) {
    unit_.cancel = &cancel;
    if (options.quick) patience_ = {0.15, 3};
  }

  [[nodiscard]] Result<void> open();
  [[nodiscard]] Result<void> run();

 private:
  [[nodiscard]] Result<void> quantisation(const Kind& kind, bool experts);
  [[nodiscard]] Result<void> attention(bool flash);
  [[nodiscard]] Result<void> copies();
  [[nodiscard]] Result<void> steps();
  // Skips what this device cannot do; errors that end everything pass.
  [[nodiscard]] Result<void> report(const std::string& name, const Result<RateSeconds>& found);

  const CalibrateOptions& options_;
  const std::function<void(const json&)>& on_event_;
  Unit unit_;
  Patience patience_;
  double step_s_ = 0;
};

Result<void> Calibration::open() {
  ggml_log_set(hear, nullptr);
  ggml_backend_load_all_from_path(options_.engine_dir.c_str());
  unit_.device = ggml_backend_dev_by_name(options_.device.c_str());
  if (unit_.device == nullptr) {
    return fail(Code::kUnavailable, "ggml has no device named " + options_.device,
                "see gantry-worker probe");
  }
  unit_.backend.reset(ggml_backend_dev_init(unit_.device, nullptr));
  if (!unit_.backend) return fail(Code::kUnavailable, options_.device + " does not start");
  const int threads = options_.threads > 0 ? options_.threads : usable_processors();
  const auto set_threads =
      reinterpret_cast<ggml_backend_set_n_threads_t>(ggml_backend_reg_get_proc_address(
          ggml_backend_dev_backend_reg(unit_.device), "ggml_backend_set_n_threads"));
  if (set_threads != nullptr) set_threads(unit_.backend.get(), threads);
  json event = {{"event", "device"},
                {"device", options_.device},
                {"description", ggml_backend_dev_description(unit_.device)}};
  if (set_threads != nullptr) event["threads"] = threads;
  on_event_(event);
  return {};
}

Result<void> Calibration::report(const std::string& name, const Result<RateSeconds>& found) {
  if (!found) {
    const Code code = found.error().code;
    if (code == Code::kCancelled || code == Code::kWorkerFailed) return fail(found.error());
    return {};  // not this one, or not here
  }
  // A step costs what it costs, however many bytes it moves; half the time at most is taken for it,
  // so that a disturbed measurement of steps cannot make a rate infinite.
  const double steps = std::min(step_s_ * found->steps, found->decode_s / 2);
  on_event_({{"event", "rate"},
             {"quantisation", name},
             {"decode_bytes_per_s", found->bytes / (found->decode_s - steps)},
             {"prefill_flop_per_s", found->flop / found->prefill_s}});
  return {};
}

Result<void> Calibration::quantisation(const Kind& kind, bool experts) {
  const std::vector<WeightPlace> places = places_of(unit_, kind.type, experts);
  for (size_t i = 0; i < places.size(); ++i) {
    const std::string name = std::string(kind.name) + (experts ? "/experts" : "") +
                             (i > 0 ? "/plain" : "");
    const auto found = experts ? time_experts(unit_, kind.type, places[i], patience_)
                               : time_layers(unit_, kind.type, places[i], patience_);
    if (Result<void> done = report(name, found); !done) return done;
    if (!found || found->rearrange_s <= 0) continue;
    const double rate = found->rearranged_bytes / found->rearrange_s;
    const double bits = 8.0 * static_cast<double>(ggml_type_size(kind.type)) /
                        static_cast<double>(ggml_blck_size(kind.type));
    on_event_({{"event", "rate"},
               {"quantisation", std::string(kind.name) + "/rearranging"},
               {"decode_bytes_per_s", rate},
               {"prefill_flop_per_s", rate * 8 / bits}});
  }
  return {};
}

Result<void> Calibration::attention(bool flash) {
  return report(flash ? "attention/flash" : "attention", time_attention(unit_, flash, patience_));
}

Result<void> Calibration::steps() {
  const Result<RateSeconds> found = time_activations(unit_, patience_);
  if (!found) return fail(found.error());
  step_s_ = found->decode_s / found->steps;
  on_event_({{"event", "step"}, {"step_s", step_s_}});
  on_event_({{"event", "rate"},
             {"quantisation", "activations"},
             {"decode_bytes_per_s", found->bytes / found->prefill_s},
             {"prefill_flop_per_s", found->flop / found->prefill_s}});
  return {};
}

Result<void> Calibration::copies() {
  if (ggml_backend_dev_type(unit_.device) == GGML_BACKEND_DEVICE_TYPE_CPU) return {};
  json event = {{"event", "copy"}};
  for (const bool pinned : {true, false}) {
    const Result<std::optional<double>> rate = copy_rate(unit_, pinned, patience_);
    if (!rate && rate.error().code == Code::kCancelled) return fail(rate.error());
    if (!rate || !*rate) continue;
    event[pinned ? "host_copy_bytes_per_s" : "pageable_copy_bytes_per_s"] = **rate;
  }
  on_event_(event);
  return {};
}

Result<void> Calibration::run() {
  if (Result<void> done = steps(); !done) return done;
  if (Result<void> done = copies(); !done) return done;
  for (const bool flash : {false, true}) {
    if (Result<void> done = attention(flash); !done) return done;
  }
  for (const bool experts : {false, true}) {
    if (experts && options_.quick) break;
    for (const Kind& kind : kKinds) {
      const bool wanted = options_.only.empty() ? kind.quick || !options_.quick
                                                : asked(options_.only, kind.name);
      if (!wanted) continue;
      if (Result<void> done = quantisation(kind, experts); !done) return done;
    }
  }
  on_event_({{"event", "done"}});
  return {};
}

Result<void> check(const CalibrateOptions& options) {
  for (const std::string& only : options.only) {
    if (std::ranges::find(kKinds, only, &Kind::name) != kKinds.end()) continue;
    return fail(Code::kUsage, "no quantisation " + only + " to calibrate",
                "F32, F16, BF16, Q8_0, Q6_K, Q5_K, Q4_K, Q4_0, Q3_K, IQ4_XS or MXFP4");
  }
  if (options.threads < 0 || options.threads > 512) {
    return fail(Code::kUsage, "-t is " + std::to_string(options.threads), "give 0 to 512");
  }
  return {};
}

}  // namespace

Result<void> calibrate(const CalibrateOptions& options, const std::atomic<bool>& cancel,
                       const std::function<void(const json&)>& on_event) {
  if (Result<void> checked = check(options); !checked) return checked;
  try {
    Calibration calibration(options, cancel, on_event);
    if (Result<void> opened = calibration.open(); !opened) return opened;
    return calibration.run();
  } catch (const std::bad_alloc&) {
    return fail(Code::kDoesNotFit, "there is not enough memory to calibrate with",
                "end other programs");
  } catch (const std::exception& e) {
    return fail(Code::kInternal, std::string("the engine threw: ") + e.what());
  }
}

int calibrate_to(int out, const CalibrateOptions& options, const std::atomic<bool>& cancel) {
  return events_to(out, [&](const auto& on_event) { return calibrate(options, cancel, on_event); });
}

}  // namespace gantry
