// Machine as JSON and back, and its lines for a person.
#include "audit/machine.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "audit/facts.h"

namespace gantry {

namespace {

using nlohmann::json;

constexpr DeviceKind kKinds[] = {DeviceKind::kCpu, DeviceKind::kGpu, DeviceKind::kIntegratedGpu,
                                 DeviceKind::kNpu, DeviceKind::kOther};

template <class T>
json or_null(const std::optional<T>& value) {
  return value ? json(*value) : json(nullptr);
}

json device_json(const Device& device) {
  return {{"name", device.name},
          {"backend", device.backend},
          {"description", device.description},
          {"kind", std::string(device_kind_name(device.kind))},
          {"total_bytes", device.total.n},
          {"free_bytes", device.free.n},
          {"temperature_c", or_null(device.temperature_c)},
          {"bandwidth",
           {{"memory_bytes_per_s", or_null(device.bandwidth.memory_bytes_per_s)},
            {"host_copy_bytes_per_s", or_null(device.bandwidth.host_copy_bytes_per_s)}}},
          {"verdict", device.verdict}};
}

// Reads fields of one object; the first fault is kept, with the field's place.
class FieldReader {
 public:
  FieldReader(const json& object, std::string where, std::optional<Error>* fault)
      : object_(object), where_(std::move(where)), fault_(fault) {
    if (!object_.is_object()) refuse("", "is no object");
  }

  void text(const char* key, std::string* out, bool required = false) {
    const json* value = at(key, required);
    if (value == nullptr) return;
    if (!value->is_string()) return refuse(key, "is no text");
    *out = value->get<std::string>();
    if (out->size() > 256) refuse(key, "is longer than 256 characters");
  }

  void bytes(const char* key, Bytes* out, bool required = false) {
    const json* value = at(key, required);
    if (value == nullptr) return;
    if (!value->is_number_unsigned() || value->get<uint64_t>() > (1ULL << 60)) {
      return refuse(key, "is no number of bytes");
    }
    out->n = value->get<uint64_t>();
  }

  void number(const char* key, std::optional<double>* out, double min, double max) {
    const json* value = at(key, false);
    if (value == nullptr) return;
    if (!value->is_number()) return refuse(key, "is no number");
    const double found = value->get<double>();
    if (!(found > min && found < max)) return refuse(key, "is out of range");
    *out = found;
  }

  void cpus(const char* key, std::vector<int>* out) {
    std::string list;
    text(key, &list);
    *out = parse_cpu_list(list);
  }

  const json* at(const char* key, bool required) {
    if (*fault_ || !object_.is_object()) return nullptr;
    const auto found = object_.find(key);
    if (found != object_.end() && !found->is_null()) return &*found;
    if (required) refuse(key, "is missing");
    return nullptr;
  }

  void refuse(const std::string& key, const std::string& what) {
    const std::string dot = where_.empty() || key.empty() ? "" : ".";
    if (!*fault_) *fault_ = Error{Code::kCorrupt, "machine: " + where_ + dot + key + " " + what};
  }

 private:
  const json& object_;
  std::string where_;
  std::optional<Error>* fault_;
};

Device read_device(const json& row, const std::string& where, std::optional<Error>* fault) {
  Device device;
  FieldReader fields(row, where, fault);
  std::string kind;
  fields.text("name", &device.name, true);
  fields.text("kind", &kind, true);
  fields.text("backend", &device.backend);
  fields.text("description", &device.description);
  fields.text("verdict", &device.verdict);
  fields.bytes("total_bytes", &device.total, true);
  device.free = device.total;
  fields.bytes("free_bytes", &device.free);
  fields.number("temperature_c", &device.temperature_c, -100, 300);
  if (const json* bandwidth = fields.at("bandwidth", false)) {
    FieldReader inner(*bandwidth, where + ".bandwidth", fault);
    inner.number("memory_bytes_per_s", &device.bandwidth.memory_bytes_per_s, 0, 1e15);
    inner.number("host_copy_bytes_per_s", &device.bandwidth.host_copy_bytes_per_s, 0, 1e15);
  }
  bool known = false;
  for (const DeviceKind candidate : kKinds) {
    if (device_kind_name(candidate) != kind) continue;
    device.kind = candidate;
    known = true;
  }
  if (!known) fields.refuse("kind", "is none of cpu, gpu, integrated_gpu, npu, other");
  if (device.free > device.total) fields.refuse("free_bytes", "is more than total_bytes");
  return device;
}

void read_devices(FieldReader* fields, Machine* machine, std::optional<Error>* fault) {
  const json* rows = fields->at("devices", true);
  if (rows == nullptr) return;
  if (!rows->is_array() || rows->empty() || rows->size() > kDevicesMax) {
    return fields->refuse("devices", "is no list of 1 to 64 devices");
  }
  std::set<std::string> names;
  for (const json& row : *rows) {
    const std::string where = "devices[" + std::to_string(machine->devices.size()) + "]";
    machine->devices.push_back(read_device(row, where, fault));
    if (*fault) return;
    const Device& device = machine->devices.back();
    if (device.name.empty() || !names.insert(device.name).second) {
      return fields->refuse(where + ".name", "is empty or taken");
    }
    if ((device.kind == DeviceKind::kCpu) != (machine->devices.size() == 1)) {
      return fields->refuse(where + ".kind", "must be cpu for the first device and no other");
    }
  }
}

void read_host(FieldReader* fields, Machine* machine, std::optional<Error>* fault) {
  if (const json* cpu = fields->at("cpu", false)) {
    FieldReader inner(*cpu, "cpu", fault);
    std::optional<double> threads;
    inner.text("model", &machine->cpu.model);
    inner.number("threads", &threads, 0, kCpusMax + 1);
    machine->cpu.threads = static_cast<uint32_t>(threads.value_or(1));
    inner.cpus("p_cores", &machine->cpu.p_cores);
    inner.cpus("e_cores", &machine->cpu.e_cores);
    if (const json* features = inner.at("features", false); features && features->is_array()) {
      for (const json& feature : *features) {
        if (feature.is_string()) machine->cpu.features.push_back(feature.get<std::string>());
      }
    }
  }
  if (const json* memory = fields->at("memory", true)) {
    FieldReader inner(*memory, "memory", fault);
    inner.bytes("total_bytes", &machine->memory.total, true);
    machine->memory.available = machine->memory.total;
    inner.bytes("available_bytes", &machine->memory.available);
    if (inner.at("cgroup_limit_bytes", false) != nullptr) {
      inner.bytes("cgroup_limit_bytes", &machine->memory.cgroup_limit.emplace());
      inner.bytes("cgroup_used_bytes", &machine->memory.cgroup_used);
    }
  }
  if (const json* disk = fields->at("disk", false)) {
    FieldReader inner(*disk, "disk", fault);
    inner.text("path", &machine->disk.path);
    inner.text("verdict", &machine->disk.verdict);
    inner.bytes("free_bytes", &machine->disk.free);
    inner.number("read_bytes_per_s", &machine->disk.read_bytes_per_s, 0, 1e15);
  }
}

std::string rate(double bytes_per_s) {
  return format_bytes({static_cast<uint64_t>(bytes_per_s)}) + "/s";
}

std::string cpu_verdict(const Machine& machine, const std::string& probe_note) {
  const Memory& memory = machine.memory;
  std::string out = std::to_string(machine.cpu.threads) +
                    (machine.cpu.threads == 1 ? " thread" : " threads");
  if (!machine.cpu.e_cores.empty()) {
    out += " (" + std::to_string(machine.cpu.p_cores.size()) + " on performance cores)";
  }
  out += ", " + format_bytes(memory.total) + " RAM";
  if (memory.cgroup_limit) {
    out += " of which a control group grants " + format_bytes(*memory.cgroup_limit);
  }
  out += ", " + format_bytes(memory.usable()) + " usable";
  const auto& bandwidth = machine.devices.front().bandwidth.memory_bytes_per_s;
  if (bandwidth) out += ", read at " + rate(*bandwidth);
  if (!probe_note.empty()) return out + "; accelerators unknown: " + probe_note;
  return out + (machine.devices.size() == 1 ? "; no accelerator: models run here" : "");
}

std::string accelerator_verdict(const Device& device) {
  if (device.total.n == 0) return "no memory of its own";
  std::string out = format_bytes(device.total);
  const Bytes held = device.total - device.free;
  if (held.n > 0) out += ", " + format_bytes(held) + " held by others";
  return out + ": plan with " + format_bytes(device.free);
}

}  // namespace

std::string_view device_kind_name(DeviceKind kind) {
  switch (kind) {
    case DeviceKind::kCpu: return "cpu";
    case DeviceKind::kGpu: return "gpu";
    case DeviceKind::kIntegratedGpu: return "integrated_gpu";
    case DeviceKind::kNpu: return "npu";
    case DeviceKind::kOther: return "other";
  }
  return "other";
}

nlohmann::json machine_json(const Machine& machine) {
  json devices = json::array();
  for (const Device& device : machine.devices) devices.push_back(device_json(device));
  const Memory& memory = machine.memory;
  const auto limit = memory.cgroup_limit;
  return {{"id", machine.id},
          {"cpu",
           {{"model", machine.cpu.model},
            {"threads", machine.cpu.threads},
            {"p_cores", format_cpu_list(machine.cpu.p_cores)},
            {"e_cores", format_cpu_list(machine.cpu.e_cores)},
            {"features", machine.cpu.features}}},
          {"memory",
           {{"total_bytes", memory.total.n},
            {"available_bytes", memory.available.n},
            {"usable_bytes", memory.usable().n},
            {"cgroup_limit_bytes", limit ? json(limit->n) : json(nullptr)},
            {"cgroup_used_bytes", limit ? json(memory.cgroup_used.n) : json(nullptr)}}},
          {"devices", devices},
          {"disk",
           {{"path", machine.disk.path},
            {"free_bytes", machine.disk.free.n},
            {"read_bytes_per_s", or_null(machine.disk.read_bytes_per_s)},
            {"verdict", machine.disk.verdict}}}};
}

Result<Machine> parse_machine(std::string_view text) {
  if (text.size() > kMachineFileMax.n) {
    return fail(Code::kTooLarge, "machine: larger than " + format_bytes(kMachineFileMax));
  }
  const json root = json::parse(text, nullptr, false);
  if (!root.is_object()) return fail(Code::kCorrupt, "machine: not a JSON object");
  Machine machine;
  std::optional<Error> fault;
  FieldReader fields(root, "", &fault);
  fields.text("id", &machine.id);
  read_host(&fields, &machine, &fault);
  read_devices(&fields, &machine, &fault);
  if (fault) return fail(*fault);
  return machine;
}

void write_verdicts(Machine* machine, const std::string& probe_note) {
  for (Device& device : machine->devices) device.verdict = accelerator_verdict(device);
  machine->devices.front().verdict = cpu_verdict(*machine, probe_note);
  machine->disk.verdict = format_bytes(machine->disk.free) + " free";
  if (machine->disk.read_bytes_per_s) {
    machine->disk.verdict += ", read at " + rate(*machine->disk.read_bytes_per_s);
  } else {
    machine->disk.verdict += ", speed not measured";
  }
}

}  // namespace gantry
