// Devices as drivers tell, asked in a process of its own: a driver that crashes or hangs costs that
// process, not this one.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>

#include "audit/facts.h"

namespace gantry {

namespace {

using nlohmann::json;

constexpr Bytes kProbeLineMax = KiB(256);
constexpr Millis kEndMax{2'000};  // what is killed is gone by then, unless the kernel holds it
constexpr size_t kTextMax = 200;

// Text of a driver or another program: no control characters reach a terminal.
std::string text_of(const json& row, const char* key) {
  const auto found = row.find(key);
  if (found == row.end() || !found->is_string()) return {};
  std::string text = found->get<std::string>();
  if (text.size() > kTextMax) text = "(too long)";
  for (char& c : text) {
    if (std::iscntrl(static_cast<unsigned char>(c)) != 0) c = '?';
  }
  return text;
}

std::optional<Bytes> bytes_of(const json& row, const char* key) {
  const auto found = row.find(key);
  if (found == row.end() || !found->is_number_unsigned()) return std::nullopt;
  const Bytes bytes{found->get<uint64_t>()};
  return bytes <= kDeviceBytesMax ? std::optional(bytes) : std::nullopt;
}

std::optional<double> number_of(const json& row, const char* key, double most) {
  const auto found = row.find(key);
  if (found == row.end() || !found->is_number()) return std::nullopt;
  const double value = found->get<double>();
  return value > 0 && value < most ? std::optional(value) : std::nullopt;
}

DeviceKind kind_of(const std::string& word) {
  if (word == "gpu") return DeviceKind::kGpu;
  if (word == "integrated_gpu") return DeviceKind::kIntegratedGpu;
  if (word == "npu") return DeviceKind::kNpu;
  return DeviceKind::kCpu;  // in the audit already; and "accelerator" has no memory of its own
}

std::optional<PcieLink> link_of(const json& row) {
  const auto found = row.find("link");
  if (found == row.end() || !found->is_object()) return std::nullopt;
  const auto small = [&](const char* key) {
    return static_cast<uint32_t>(number_of(*found, key, 33).value_or(0));
  };
  PcieLink link{small("generation"), small("width"), small("generation_max"), small("width_max")};
  if (link.generation == 0 || link.width == 0) return std::nullopt;
  link.generation_max = std::max(link.generation, link.generation_max);
  link.width_max = std::max(link.width, link.width_max);
  return link;
}

std::vector<Holder> holders_of(const json& row) {
  std::vector<Holder> holders;
  const auto found = row.find("holders");
  if (found == row.end() || !found->is_array()) return holders;
  for (const json& entry : *found) {
    if (!entry.is_object()) continue;
    const auto pid = number_of(entry, "pid", 1 << 30);
    const auto bytes = bytes_of(entry, "bytes");
    if (pid && bytes) holders.push_back({static_cast<int>(*pid), text_of(entry, "name"), *bytes});
  }
  return holders;
}

std::optional<Device> device_of(const json& row) {
  if (!row.is_object()) return std::nullopt;
  const auto total = bytes_of(row, "total_bytes");
  const auto free = bytes_of(row, "free_bytes");
  Device device;
  device.kind = kind_of(text_of(row, "kind"));
  if (device.kind == DeviceKind::kCpu || !total || !free) return std::nullopt;
  device.backend = text_of(row, "backend");
  device.description = text_of(row, "description");
  device.total = *total;
  device.free = std::min(*free, *total);
  device.bus = text_of(row, "bus");
  std::ranges::transform(device.bus, device.bus.begin(), [](char c) {
    return static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  });
  device.temperature_c = number_of(row, "temperature_c", 200);
  device.power_w = number_of(row, "power_w", 1e4);
  device.power_limit_w = number_of(row, "power_limit_w", 1e4);
  device.energy_counter = row.value("energy_counter", json()) == true;
  device.link = link_of(row);
  device.holders = holders_of(row);
  if (const auto reasons = row.find("throttled"); reasons != row.end() && reasons->is_array()) {
    for (const json& reason : *reasons) {
      if (reason == "heat" || reason == "power" || reason == "hardware") {
        device.throttled.push_back(reason.get<std::string>());
      }
    }
  }
  return device;
}

// The rows of one part; absent where the part is of another shape.
std::optional<std::vector<Device>> rows_of(const json& rows) {
  if (!rows.is_array()) return std::nullopt;
  std::vector<Device> devices;
  for (const json& row : rows) {
    auto device = device_of(row);
    if (device && devices.size() + 1 < kDevicesMax) devices.push_back(std::move(*device));
  }
  return devices;
}

// Takes one line; false where it is none of the answer's.
bool take(const json& line, Probed* out) {
  if (!line.is_object()) return false;
  if (const auto part = line.find("nvidia"); part != line.end()) {
    out->nvidia = rows_of(*part);
    out->nvidia_trouble = text_of(line, "trouble");
    return out->nvidia.has_value();
  }
  if (const auto part = line.find("devices"); part != line.end()) {
    out->engines = rows_of(*part);
    out->backends = text_of(line, "backends");
    return out->engines.has_value();
  }
  if (const auto part = line.find("openvino"); part != line.end()) {
    out->openvino = rows_of(*part);
    return out->openvino.has_value();
  }
  return false;
}

// In the order of the answer: who was asked when it ended.
std::string asked(const Probed& probed) {
  if (!probed.nvidia) return "NVIDIA's driver";
  return probed.engines ? "OpenVINO" : "the engines' drivers";
}

// Ends the probe. A process that a driver holds in the kernel cannot be killed nor waited for: it
// is left to the kernel.
void end(std::unique_ptr<Process> process) {
  process->signal_group(9);
  if (!process->wait(kEndMax)) static_cast<void>(process.release());
}

}  // namespace

Probed probe(Os& os, const std::string& worker_exe, Millis part_max) {
  Probed out;
  ProcessSpec spec;
  spec.argv = {worker_exe, "probe"};
  spec.pipe_io = true;
  auto process = os.spawn(spec);
  if (!process) {
    out.fault = process.error().message;
    return out;
  }
  while (!out.nvidia || !out.engines || !out.openvino) {
    const auto line = (*process)->read_line(part_max, kProbeLineMax);
    if (!line && line.error().code == Code::kTimeout) {
      out.fault = fmt::format("no answer within {} s from {}",
                              std::chrono::duration<double>(part_max).count(), asked(out));
    } else if (!line && line.error().code == Code::kWorkerFailed) {
      const auto ended = (*process)->wait(kEndMax);
      out.fault = fmt::format("the device probe ended while it asked {}: {}", asked(out),
                              ended ? ended->text() : line.error().message);
    } else if (!line) {
      out.fault = line.error().message;
    } else if (!take(json::parse(*line, nullptr, false), &out)) {
      out.fault = "the device probe answered with something else";
    }
    if (!out.fault.empty()) break;
  }
  end(std::move(*process));
  return out;
}

}  // namespace gantry
