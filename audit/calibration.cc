// Rates of a device, measured by a worker process: a driver that hangs costs that process.
#include <nlohmann/json.hpp>

#include "audit/facts.h"

namespace gantry {

namespace {

using nlohmann::json;

constexpr Millis kLook{200};           // how soon an interrupt is seen
constexpr Millis kSilenceMax{60'000};  // of one measurement, setting up included
constexpr Bytes kEventMax = KiB(64);
constexpr size_t kRatesMax = 64;
constexpr double kRateMost = 1e18;

std::optional<double> rate_at(const json& event, const char* key) {
  const auto found = event.find(key);
  if (found == event.end() || !found->is_number()) return std::nullopt;
  const double value = found->get<double>();
  return value > 0 && value < kRateMost ? std::optional<double>(value) : std::nullopt;
}

std::string text_at(const json& event, const char* key) {
  const auto found = event.find(key);
  return found != event.end() && found->is_string() ? found->get<std::string>() : std::string();
}

// Takes one event; true with the last one.
Result<bool> take(const json& event, const BenchHooks& hooks, Device* device) {
  const std::string name = text_at(event, "event");
  if (name == "error") {
    return fail(code_from_name(text_at(event, "code")), text_at(event, "message"),
                text_at(event, "remedy"));
  }
  if (name == "step") device->step_s = rate_at(event, "step_s");
  if (name == "copy") {
    device->bandwidth.host_copy_bytes_per_s = rate_at(event, "host_copy_bytes_per_s");
    device->bandwidth.pageable_copy_bytes_per_s = rate_at(event, "pageable_copy_bytes_per_s");
    if (!device->bandwidth.host_copy_bytes_per_s) {
      device->bandwidth.host_copy_bytes_per_s = device->bandwidth.pageable_copy_bytes_per_s;
    }
  }
  if (name == "rate" && device->rates.size() < kRatesMax) {
    const auto decode = rate_at(event, "decode_bytes_per_s");
    const auto prefill = rate_at(event, "prefill_flop_per_s");
    const std::string quantisation = text_at(event, "quantisation");
    if (decode && prefill && !quantisation.empty() && quantisation.size() <= 64) {
      device->rates.push_back({quantisation, *decode, *prefill});
      if (hooks.progress) hooks.progress(device->name + ": " + quantisation);
    }
  }
  return name == "done";
}

// As workers are run: see worker_process() and compute_threads().
ProcessSpec calibrate_spec(const Machine& machine, const Device& device,
                           const std::string& worker_exe) {
  const std::vector<int>& fast = machine.cpu.p_cores;
  const uint32_t threads = fast.empty() ? machine.cpu.threads
                                        : std::min(static_cast<uint32_t>(fast.size()),
                                                   machine.cpu.threads);
  ProcessSpec spec;
  spec.argv = {worker_exe, "calibrate", "--device",
               device.kind == DeviceKind::kCpu ? "CPU" : device.backend, "-t",
               std::to_string(std::max(threads, 1U))};
  spec.bare_env = true;
  spec.env = {{"OMP_WAIT_POLICY", "passive"}};
  if (!machine.cpu.e_cores.empty()) spec.cpus = fast;
  spec.pipe_io = true;
  return spec;
}

}  // namespace

Result<void> calibrate_device(Os& os, const Machine& machine, const std::string& worker_exe,
                              const BenchHooks& hooks, Device* device) {
  auto process = os.spawn(calibrate_spec(machine, *device, worker_exe));
  if (!process) return fail(process.error());
  Device found = *device;
  found.rates.clear();
  for (Millis silence{0}; silence < kSilenceMax;) {
    if (hooks.cancel != nullptr && *hooks.cancel) return fail(Code::kCancelled, "interrupted");
    const auto line = (*process)->read_line(kLook, kEventMax);
    if (!line && line.error().code == Code::kTimeout) {
      silence += kLook;
      continue;
    }
    if (!line) return fail(line.error());
    silence = Millis{0};
    const json event = json::parse(*line, nullptr, false);
    if (!event.is_object()) {
      return fail(Code::kWorkerFailed, "the calibration answered with something else");
    }
    const Result<bool> done = take(event, hooks, &found);
    if (!done) return fail(done.error());
    if (!*done) continue;
    *device = std::move(found);
    return {};
  }
  return fail(Code::kTimeout, "calibrating " + device->name + " says nothing any more");
}

}  // namespace gantry
