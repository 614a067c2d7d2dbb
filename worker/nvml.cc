// NVML by dlopen. Declarations are ours, by NVIDIA's public API reference; what its versions share.
#include "worker/nvml.h"

#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

namespace gantry {

namespace {

using nlohmann::json;

constexpr unsigned kCardsMax = 64;
constexpr unsigned kProcessesMax = 1024;
constexpr unsigned long long kNotAvailable = ~0ULL;  // NVML_VALUE_NOT_AVAILABLE

using Card = struct OpaqueCard*;
struct PciInfo {
  char legacy_bus_id[16];
  unsigned domain, bus, device, pci_device_id, pci_subsystem_id;
  char bus_id[32];  // "00000000:01:00.0"
};
struct MemoryInfo {
  unsigned long long total, free, used;
};
struct ProcessInfo {  // of versions 2 and 3
  unsigned pid;
  unsigned long long used;
  unsigned gpu_instance, compute_instance;
};

// nvmlClocksEventReasons*: bits that slow a card down. Idling and set clocks are no throttling.
constexpr unsigned long long kHeat = 0x20 | 0x40;   // software and hardware thermal slowdown
constexpr unsigned long long kPower = 0x04 | 0x80;  // software power cap, hardware power brake
constexpr unsigned long long kHardware = 0x08;      // either, where it does not say which

template <class T>
using Get = int (*)(Card, T*);
using Processes = int (*)(Card, unsigned*, ProcessInfo*);

struct Nvml {
  int (*init)() = nullptr;
  int (*shutdown)() = nullptr;
  const char* (*error)(int) = nullptr;
  int (*count)(unsigned*) = nullptr;
  int (*card)(unsigned, Card*) = nullptr;
  int (*name)(Card, char*, unsigned) = nullptr;
  int (*temperature)(Card, int, unsigned*) = nullptr;
  int (*process_name)(unsigned, char*, unsigned) = nullptr;
  Get<PciInfo> pci = nullptr;
  Get<MemoryInfo> memory = nullptr;
  Get<unsigned> power = nullptr, power_limit = nullptr;
  Get<unsigned long long> throttle = nullptr, energy = nullptr;
  Get<unsigned> generation = nullptr, width = nullptr;
  Get<unsigned> generation_max = nullptr, width_max = nullptr;
  Processes compute = nullptr, graphics = nullptr;
};

struct Unload {
  void operator()(void* library) const { ::dlclose(library); }
};
using Library = std::unique_ptr<void, Unload>;

// The first of the names that the library has; null where it has none.
template <class F>
void find(const Library& library, F* out, const char* name, const char* older = nullptr) {
  *out = reinterpret_cast<F>(::dlsym(library.get(), name));
  if (*out == nullptr && older != nullptr) {
    *out = reinterpret_cast<F>(::dlsym(library.get(), older));
  }
}

Nvml functions_of(const Library& library) {
  Nvml n;
  find(library, &n.init, "nvmlInit_v2");
  find(library, &n.shutdown, "nvmlShutdown");
  find(library, &n.error, "nvmlErrorString");
  find(library, &n.count, "nvmlDeviceGetCount_v2");
  find(library, &n.card, "nvmlDeviceGetHandleByIndex_v2");
  find(library, &n.name, "nvmlDeviceGetName");
  find(library, &n.pci, "nvmlDeviceGetPciInfo_v3");
  find(library, &n.memory, "nvmlDeviceGetMemoryInfo");
  find(library, &n.temperature, "nvmlDeviceGetTemperature");
  find(library, &n.power, "nvmlDeviceGetPowerUsage");
  find(library, &n.power_limit, "nvmlDeviceGetEnforcedPowerLimit");
  find(library, &n.energy, "nvmlDeviceGetTotalEnergyConsumption");
  find(library, &n.throttle, "nvmlDeviceGetCurrentClocksEventReasons",
       "nvmlDeviceGetCurrentClocksThrottleReasons");
  find(library, &n.generation, "nvmlDeviceGetCurrPcieLinkGeneration");
  find(library, &n.width, "nvmlDeviceGetCurrPcieLinkWidth");
  find(library, &n.generation_max, "nvmlDeviceGetMaxPcieLinkGeneration");
  find(library, &n.width_max, "nvmlDeviceGetMaxPcieLinkWidth");
  find(library, &n.compute, "nvmlDeviceGetComputeRunningProcesses_v3",
       "nvmlDeviceGetComputeRunningProcesses_v2");
  find(library, &n.graphics, "nvmlDeviceGetGraphicsRunningProcesses_v3",
       "nvmlDeviceGetGraphicsRunningProcesses_v2");
  find(library, &n.process_name, "nvmlSystemGetProcessName");
  return n;
}

template <class T>
std::optional<T> ask(Get<T> function, Card card) {
  T value{};
  if (function == nullptr || function(card, &value) != 0) return std::nullopt;
  return value;
}

template <size_t N>
std::string text_of(const char (&chars)[N]) {
  return {chars, std::find(chars, chars + N, '\0')};
}

// "00000000:01:00.0" -> "0000:01:00.0", as the kernel and ggml write it. Domains over 16 bits stay.
std::string short_bus(const std::string& bus) {
  return bus.size() == 16 && bus.starts_with("0000") ? bus.substr(4) : bus;
}

json throttle_words(unsigned long long reasons) {
  json words = json::array();
  if ((reasons & kHeat) != 0) words.push_back("heat");
  if ((reasons & kPower) != 0) words.push_back("power");
  if (words.empty() && (reasons & kHardware) != 0) words.push_back("hardware");
  return words;
}

// "/usr/lib/xorg/Xorg -core :0" -> "Xorg".
std::string program_of(const Nvml& nvml, unsigned pid) {
  std::array<char, 256> chars{};
  if (nvml.process_name == nullptr ||
      nvml.process_name(pid, chars.data(), chars.size() - 1) != 0) {
    return {};
  }
  const std::string command = chars.data();
  const std::string path = command.substr(0, command.find(' '));
  return path.substr(path.rfind('/') + 1);
}

// Compute and graphics are two lists, and a process may be on both with the same figure.
json holders_of(const Nvml& nvml, Card card) {
  std::vector<ProcessInfo> all;
  for (const Processes list : {nvml.compute, nvml.graphics}) {
    std::vector<ProcessInfo> some(kProcessesMax);
    unsigned n = kProcessesMax;
    if (list == nullptr || list(card, &n, some.data()) != 0) continue;
    some.resize(std::min(n, kProcessesMax));
    for (const ProcessInfo& process : some) {
      if (process.used == kNotAvailable || process.used == 0) continue;
      const auto known = std::ranges::find(all, process.pid, &ProcessInfo::pid);
      if (known == all.end()) {
        all.push_back(process);
      } else {
        known->used = std::max(known->used, process.used);
      }
    }
  }
  json out = json::array();
  for (const ProcessInfo& process : all) {
    out.push_back({{"pid", process.pid},
                   {"name", program_of(nvml, process.pid)},
                   {"bytes", process.used}});
  }
  return out;
}

void add_sensors(const Nvml& nvml, Card card, json* row) {
  constexpr int kGpuSensor = 0;
  unsigned celsius = 0;
  if (nvml.temperature != nullptr && nvml.temperature(card, kGpuSensor, &celsius) == 0) {
    (*row)["temperature_c"] = celsius;
  }
  if (const auto milliwatts = ask(nvml.power, card)) (*row)["power_w"] = *milliwatts / 1000.0;
  if (const auto milliwatts = ask(nvml.power_limit, card)) {
    (*row)["power_limit_w"] = *milliwatts / 1000.0;
  }
  (*row)["energy_counter"] = ask(nvml.energy, card).has_value();
  if (const auto reasons = ask(nvml.throttle, card)) (*row)["throttled"] = throttle_words(*reasons);
  const auto generation = ask(nvml.generation, card), width = ask(nvml.width, card);
  if (generation && width) {
    (*row)["link"] = {{"generation", *generation},
                      {"width", *width},
                      {"generation_max", ask(nvml.generation_max, card).value_or(*generation)},
                      {"width_max", ask(nvml.width_max, card).value_or(*width)}};
  }
}

std::string describe(const Nvml& nvml, int status) {
  const char* text = nvml.error == nullptr ? nullptr : nvml.error(status);
  return text == nullptr ? "NVML error " + std::to_string(status) : text;
}

json cards_of(const Nvml& nvml, std::string* trouble) {
  json rows = json::array();
  unsigned count = 0;
  if (const int status = nvml.count(&count); status != 0) {
    *trouble = describe(nvml, status);
    return rows;
  }
  for (unsigned i = 0; i < std::min(count, kCardsMax); ++i) {
    Card card = nullptr;
    int status = nvml.card(i, &card);
    MemoryInfo memory{};
    if (status == 0) status = nvml.memory(card, &memory);
    const auto pci = status == 0 ? ask(nvml.pci, card) : std::nullopt;
    if (!pci) {  // "GPU is lost": the others may work
      *trouble = describe(nvml, status);
      continue;
    }
    std::array<char, 128> name{};
    if (nvml.name != nullptr) nvml.name(card, name.data(), name.size() - 1);
    json row = {{"backend", ""},
                {"description", name.data()},
                {"kind", "gpu"},
                {"bus", short_bus(text_of(pci->bus_id))},
                {"total_bytes", memory.total},
                {"free_bytes", memory.free},
                {"holders", holders_of(nvml, card)}};
    add_sensors(nvml, card, &row);
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace

nlohmann::json nvidia_cards(const std::string& name) {
  json rows = json::array();
  std::string trouble;
  const Library library(::dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL));
  if (library) {
    const Nvml nvml = functions_of(library);
    if (nvml.init == nullptr || nvml.count == nullptr || nvml.card == nullptr ||
        nvml.pci == nullptr || nvml.memory == nullptr) {
      trouble = "NVML is too old, or broken: it lacks functions";
    } else if (const int status = nvml.init(); status != 0) {
      trouble = describe(nvml, status);
    } else {
      rows = cards_of(nvml, &trouble);
      if (nvml.shutdown != nullptr) nvml.shutdown();
    }
  }
  return {{"nvidia", rows}, {"trouble", trouble}};
}

}  // namespace gantry
