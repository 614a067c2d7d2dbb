// ggml's devices, asked in a process of its own: a broken driver costs that process, not this one.
#include <nlohmann/json.hpp>

#include "audit/facts.h"

namespace gantry {

namespace {

using nlohmann::json;

constexpr Millis kProbeMax{10'000};  // a cold driver takes seconds
constexpr Bytes kProbeLineMax = KiB(256);

std::string text_of(const json& row, const char* key) {
  const auto found = row.find(key);
  return found != row.end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::optional<uint64_t> number_of(const json& row, const char* key) {
  const auto found = row.find(key);
  if (found == row.end() || !found->is_number_unsigned()) return std::nullopt;
  return found->get<uint64_t>();
}

DeviceKind kind_of(const std::string& word) {
  if (word == "gpu") return DeviceKind::kGpu;
  if (word == "integrated_gpu") return DeviceKind::kIntegratedGpu;
  if (word == "npu") return DeviceKind::kNpu;
  return DeviceKind::kCpu;  // in the audit already; and "accelerator" has no memory of its own
}

// "gpu0", "gpu1", "npu0": counted by what the user calls them.
std::string next_name(DeviceKind kind, const std::vector<Device>& devices) {
  const bool npu = kind == DeviceKind::kNpu;
  size_t n = 0;
  for (const Device& device : devices) n += (device.kind == DeviceKind::kNpu) == npu ? 1 : 0;
  return (npu ? "npu" : "gpu") + std::to_string(n);
}

}  // namespace

Result<std::vector<Device>> probe_accelerators(Os& os, const std::string& worker_exe) {
  ProcessSpec spec;
  spec.argv = {worker_exe, "probe"};
  spec.pipe_io = true;
  auto process = os.spawn(spec);
  if (!process) return fail(process.error());
  const auto line = (*process)->read_line(kProbeMax, kProbeLineMax);
  if (!line) return fail(line.error());
  const json found = json::parse(*line, nullptr, false);
  if (!found.is_object() || !found.contains("devices") || !found["devices"].is_array()) {
    return fail(Code::kWorkerFailed, "the device probe answered with something else");
  }
  std::vector<Device> devices;
  for (const json& row : found["devices"]) {
    if (!row.is_object() || devices.size() + 1 >= kDevicesMax) continue;
    const DeviceKind kind = kind_of(text_of(row, "kind"));
    const auto total = number_of(row, "total_bytes");
    const auto free = number_of(row, "free_bytes");
    if (kind == DeviceKind::kCpu || !total || !free) continue;
    Device device;
    device.name = next_name(kind, devices);
    device.backend = text_of(row, "backend");
    device.description = text_of(row, "description");
    device.kind = kind;
    device.total = {*total};
    device.free = {std::min(*free, *total)};
    devices.push_back(std::move(device));
  }
  return devices;
}

}  // namespace gantry
