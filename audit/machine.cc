// Machine as JSON and back.
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

constexpr size_t kTextMax = 256;
constexpr size_t kLineMax = 2048;  // of a sentence for a person
constexpr size_t kRowsMax = 64;  // of holders, rates, reasons, features: more is no machine

template <class T>
json or_null(const std::optional<T>& value) {
  return value ? json(*value) : json(nullptr);
}

json holders_json(const std::vector<Holder>& holders) {
  json out = json::array();
  for (const Holder& holder : holders) {
    out.push_back({{"pid", holder.pid}, {"name", holder.name}, {"bytes", holder.bytes.n}});
  }
  return out;
}

json rates_json(const std::vector<Rate>& rates) {
  json out = json::array();
  for (const Rate& rate : rates) {
    out.push_back({{"quantisation", rate.quantisation},
                   {"decode_bytes_per_s", rate.decode_bytes_per_s},
                   {"prefill_flop_per_s", rate.prefill_flop_per_s}});
  }
  return out;
}

json link_json(const std::optional<PcieLink>& link) {
  if (!link) return nullptr;
  return {{"generation", link->generation},
          {"width", link->width},
          {"generation_max", link->generation_max},
          {"width_max", link->width_max}};
}

json device_json(const Device& device) {
  const Bandwidth& bandwidth = device.bandwidth;
  return {{"name", device.name},
          {"backend", device.backend},
          {"description", device.description},
          {"kind", std::string(device_kind_name(device.kind))},
          {"total_bytes", device.total.n},
          {"free_bytes", device.free.n},
          {"temperature_c", or_null(device.temperature_c)},
          {"power_w", or_null(device.power_w)},
          {"power_limit_w", or_null(device.power_limit_w)},
          {"energy_counter", device.energy_counter},
          {"throttled", device.throttled},
          {"bus", device.bus},
          {"link", link_json(device.link)},
          {"numa_node", device.numa_node < 0 ? json(nullptr) : json(device.numa_node)},
          {"holders", holders_json(device.holders)},
          {"bandwidth",
           {{"memory_bytes_per_s", or_null(bandwidth.memory_bytes_per_s)},
            {"host_copy_bytes_per_s", or_null(bandwidth.host_copy_bytes_per_s)},
            {"pageable_copy_bytes_per_s", or_null(bandwidth.pageable_copy_bytes_per_s)}}},
          {"rates", rates_json(device.rates)},
          {"trouble", device.trouble},
          {"verdict", device.verdict}};
}

json numa_json(const std::vector<NumaNode>& nodes) {
  json out = json::array();
  for (const NumaNode& node : nodes) {
    out.push_back({{"id", node.id},
                   {"cpus", format_cpu_list(node.cpus)},
                   {"total_bytes", node.total.n},
                   {"free_bytes", node.free.n}});
  }
  return out;
}

// Reads fields of one object; the first fault is kept, with the field's place.
class FieldReader {
 public:
  FieldReader(const json& object, std::string where, std::optional<Error>* fault,
              bool must_be_object = true)
      : object_(object), where_(std::move(where)), fault_(fault) {
    if (must_be_object && !object_.is_object()) refuse("", "is no object");
  }

  void text(const char* key, std::string* out, bool required = false, size_t most = kTextMax) {
    const json* value = at(key, required);
    if (value == nullptr) return;
    if (!value->is_string()) return refuse(key, "is no text");
    *out = value->get<std::string>();
    if (out->size() > most) {
      refuse(key, "is longer than " + std::to_string(most) + " characters");
    }
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

  // min is allowed, max is not.
  template <class Integer>
  void integer(const char* key, Integer* out, int64_t min, int64_t max) {
    const json* value = at(key, false);
    if (value == nullptr) return;
    if (!value->is_number_integer()) return refuse(key, "is no whole number");
    const bool huge = value->is_number_unsigned() && value->get<uint64_t>() > INT64_MAX;
    const int64_t found = huge ? INT64_MAX : value->get<int64_t>();
    if (found < min || found >= max) return refuse(key, "is out of range");
    *out = static_cast<Integer>(found);
  }

  void boolean(const char* key, bool* out) {
    const json* value = at(key, false);
    if (value == nullptr) return;
    if (!value->is_boolean()) return refuse(key, "is neither true nor false");
    *out = value->get<bool>();
  }

  void texts(const char* key, std::vector<std::string>* out) {
    each(key, kRowsMax, [&](const json& row, const std::string& where) {
      if (!row.is_string() || row.get_ref<const std::string&>().size() > kTextMax) {
        return FieldReader(row, where, fault_, false).refuse("", "is no text of 256 characters");
      }
      out->push_back(row.get<std::string>());
    });
  }

  // Calls take(row, "where[3]") for each row of a list.
  template <class Take>
  void each(const char* key, size_t most, const Take& take) {
    const json* rows = at(key, false);
    if (rows == nullptr) return;
    if (!rows->is_array() || rows->size() > most) {
      return refuse(key, "is no list of at most " + std::to_string(most));
    }
    const std::string place = where_ + (where_.empty() ? "" : ".") + key;
    for (size_t i = 0; i < rows->size() && !*fault_; ++i) {
      take((*rows)[i], place + "[" + std::to_string(i) + "]");
    }
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

std::optional<double> positive(FieldReader* fields, const char* key, double most) {
  std::optional<double> value;
  fields->number(key, &value, 0, most);
  return value;
}

void read_condition(FieldReader* fields, const std::string& where, Device* device,
                    std::optional<Error>* fault) {
  fields->number("temperature_c", &device->temperature_c, -100, 300);
  device->power_w = positive(fields, "power_w", 1e5);
  device->power_limit_w = positive(fields, "power_limit_w", 1e5);
  fields->boolean("energy_counter", &device->energy_counter);
  fields->texts("throttled", &device->throttled);
  fields->text("bus", &device->bus);
  fields->integer("numa_node", &device->numa_node, -1, kNumaNodesMax);
  fields->text("trouble", &device->trouble, false, kLineMax);
  if (const json* link = fields->at("link", false)) {
    FieldReader inner(*link, where + ".link", fault);
    PcieLink& out = device->link.emplace();
    inner.integer("generation", &out.generation, 0, 16);
    inner.integer("width", &out.width, 0, 65);
    inner.integer("generation_max", &out.generation_max, 0, 16);
    inner.integer("width_max", &out.width_max, 0, 65);
  }
  fields->each("holders", kRowsMax, [&](const json& row, const std::string& place) {
    FieldReader inner(row, place, fault);
    Holder& out = device->holders.emplace_back();
    inner.integer("pid", &out.pid, 0, int64_t{1} << 31);
    inner.text("name", &out.name);
    inner.bytes("bytes", &out.bytes, true);
  });
}

void read_speeds(FieldReader* fields, const std::string& where, Device* device,
                 std::optional<Error>* fault) {
  if (const json* bandwidth = fields->at("bandwidth", false)) {
    FieldReader inner(*bandwidth, where + ".bandwidth", fault);
    device->bandwidth.memory_bytes_per_s = positive(&inner, "memory_bytes_per_s", 1e15);
    device->bandwidth.host_copy_bytes_per_s = positive(&inner, "host_copy_bytes_per_s", 1e15);
    device->bandwidth.pageable_copy_bytes_per_s =
        positive(&inner, "pageable_copy_bytes_per_s", 1e15);
  }
  fields->each("rates", kRowsMax, [&](const json& row, const std::string& place) {
    FieldReader inner(row, place, fault);
    Rate& out = device->rates.emplace_back();
    inner.text("quantisation", &out.quantisation, true);
    out.decode_bytes_per_s = positive(&inner, "decode_bytes_per_s", 1e15).value_or(0);
    out.prefill_flop_per_s = positive(&inner, "prefill_flop_per_s", 1e18).value_or(0);
  });
}

Device read_device(const json& row, const std::string& where, std::optional<Error>* fault) {
  Device device;
  FieldReader fields(row, where, fault);
  std::string kind;
  fields.text("name", &device.name, true);
  fields.text("kind", &kind, true);
  fields.text("backend", &device.backend);
  fields.text("description", &device.description);
  fields.text("verdict", &device.verdict, false, kLineMax);
  fields.bytes("total_bytes", &device.total, true);
  device.free = device.total;
  fields.bytes("free_bytes", &device.free);
  read_condition(&fields, where, &device, fault);
  read_speeds(&fields, where, &device, fault);
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
  machine->cpu.threads = 1;  // where the file does not say
  if (const json* cpu = fields->at("cpu", false)) {
    FieldReader inner(*cpu, "cpu", fault);
    inner.text("model", &machine->cpu.model);
    inner.integer("threads", &machine->cpu.threads, 1, kCpusMax + 1);
    inner.cpus("p_cores", &machine->cpu.p_cores);
    inner.cpus("e_cores", &machine->cpu.e_cores);
    inner.texts("features", &machine->cpu.features);
    inner.each("numa", kNumaNodesMax, [&](const json& row, const std::string& where) {
      FieldReader node(row, where, fault);
      NumaNode& out = machine->cpu.numa.emplace_back();
      node.integer("id", &out.id, 0, kCpusMax);
      node.cpus("cpus", &out.cpus);
      node.bytes("total_bytes", &out.total, true);
      node.bytes("free_bytes", &out.free);
    });
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
          {"recorded", machine.recorded},
          {"note", machine.note},
          {"cpu",
           {{"model", machine.cpu.model},
            {"threads", machine.cpu.threads},
            {"p_cores", format_cpu_list(machine.cpu.p_cores)},
            {"e_cores", format_cpu_list(machine.cpu.e_cores)},
            {"features", machine.cpu.features},
            {"numa", numa_json(machine.cpu.numa)}}},
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
  fields.boolean("recorded", &machine.recorded);
  fields.text("note", &machine.note, false, kLineMax);
  read_host(&fields, &machine, &fault);
  read_devices(&fields, &machine, &fault);
  if (fault) return fail(*fault);
  return machine;
}

}  // namespace gantry
