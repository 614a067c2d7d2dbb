// Backends' numbers and bus addresses.
#include "foreman/device_names.h"

namespace gantry {

// ggml names a device by its backend and its number there: "CUDA0", "ROCm1", "Vulkan0".
std::vector<std::pair<std::string, std::string>> device_environment(const Device& device) {
  const size_t digits = device.backend.find_first_of("0123456789");
  if (digits == std::string::npos) return {};
  const std::string kind = device.backend.substr(0, digits), number = device.backend.substr(digits);
  if (kind == "CUDA") return {{"CUDA_VISIBLE_DEVICES", number}};
  if (kind == "ROCm") return {{"HIP_VISIBLE_DEVICES", number}};
  if (kind == "Vulkan") return {{"GGML_VK_VISIBLE_DEVICES", number}};
  return {};
}

std::map<std::string, std::string> device_identities(const Machine& machine) {
  std::map<std::string, std::string> names = {{"cpu", "host"}};
  for (const Device& device : machine.devices) {
    if (device.kind == DeviceKind::kCpu) continue;
    names[device.name] = device.bus.empty() ? "name:" + device.backend : "pci:" + device.bus;
  }
  return names;
}

}  // namespace gantry
