// OpenVINO by dlopen. Declarations are ours, by its public C API reference.
#include "worker/openvino_devices.h"

#include <dlfcn.h>

#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

namespace gantry {

namespace {

using nlohmann::json;

constexpr size_t kDevicesMax = 64;

using Core = struct OpaqueCore*;
struct Names {
  char** names;
  size_t size;
};

struct OpenVino {
  int (*create)(Core*) = nullptr;
  void (*release)(Core) = nullptr;
  int (*devices)(Core, Names*) = nullptr;
  void (*free_names)(Names*) = nullptr;
  int (*property)(Core, const char*, const char*, char**) = nullptr;
  void (*free_text)(const char*) = nullptr;
};

template <class F>
bool find(void* library, F* out, const char* name) {
  *out = reinterpret_cast<F>(::dlsym(library, name));
  return *out != nullptr;
}

bool find_all(void* library, OpenVino* out) {
  return find(library, &out->create, "ov_core_create") &&
         find(library, &out->release, "ov_core_free") &&
         find(library, &out->devices, "ov_core_get_available_devices") &&
         find(library, &out->free_names, "ov_available_devices_free") &&
         find(library, &out->property, "ov_core_get_property") &&
         find(library, &out->free_text, "ov_free");
}

std::string property(const OpenVino& ov, Core core, const char* device, const char* key) {
  char* value = nullptr;
  if (ov.property(core, device, key, &value) != 0 || value == nullptr) return {};
  std::string text = value;
  ov.free_text(value);
  return text;
}

uint64_t bytes(const std::string& text) {
  uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

json npus_of(const OpenVino& ov, Core core) {
  json rows = json::array();
  Names names{};
  if (ov.devices(core, &names) != 0) return rows;
  for (size_t i = 0; i < names.size && i < kDevicesMax; ++i) {
    const std::string name = names.names[i];  // "CPU", "GPU.0", "NPU"
    if (!name.starts_with("NPU")) continue;
    const uint64_t total = bytes(property(ov, core, name.c_str(), "NPU_DEVICE_TOTAL_MEM_SIZE"));
    const uint64_t used = bytes(property(ov, core, name.c_str(), "NPU_DEVICE_ALLOC_MEM_SIZE"));
    rows.push_back({{"backend", name},
                    {"description", property(ov, core, name.c_str(), "FULL_DEVICE_NAME")},
                    {"kind", "npu"},
                    {"total_bytes", total},
                    {"free_bytes", total > used ? total - used : 0}});
  }
  ov.free_names(&names);
  return rows;
}

}  // namespace

nlohmann::json openvino_devices(const std::vector<std::string>& libraries) {
  json rows = json::array();
  for (const std::string& name : libraries) {
    // It stays loaded: its plugins start threads that outlive the core.
    void* const library = ::dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
    OpenVino ov;
    if (library == nullptr || !find_all(library, &ov)) continue;
    Core core = nullptr;
    if (ov.create(&core) != 0) break;
    rows = npus_of(ov, core);
    ov.release(core);
    break;
  }
  return {{"openvino", rows}};
}

std::vector<std::string> openvino_libraries(const std::string& engine_dir) {
  std::vector<std::string> folders = {engine_dir};
  if (const char* root = ::getenv("INTEL_OPENVINO_DIR")) {  // set by its setupvars.sh
    folders.push_back(std::string(root) + "/runtime/lib/intel64");
  }
  folders.emplace_back("/usr/lib/x86_64-linux-gnu");
  std::vector<std::string> out;
  for (const std::string& folder : folders) {
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
      // Often only the name with a version is installed: libopenvino_c.so.2641.
      const std::string name = entry.path().filename().string();
      if (name.starts_with("libopenvino_c.so")) out.push_back(entry.path().string());
    }
  }
  out.emplace_back("libopenvino_c.so");
  return out;
}

}  // namespace gantry
