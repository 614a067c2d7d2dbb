// Data sheets, and what engines are known to make of them.
//
// Rates are a share of the data sheet's bandwidth (one token at a time) and of its FP16 rate with
// FP16 accumulation (batches of 512). The shares follow from llama-bench tables that were published
// with pull requests and issues of ggml-org/llama.cpp for models of 7 to 8 billion weights:
//   RTX 3090 and 4090   8B Q4_0 .. Q6_K: 62 to 72 % of the bandwidth, 37 to 45 % of the FP16 rate
//   RX 6700 XT (ROCm)   7B Q4_0: 59 tokens/s = 63 %; 1017 tokens/s = 56 %   (PR 5835)
//   RX 7900 XTX (ROCm)  8B Q4_K_M: 106 tokens/s = 54 %; 3190 tokens/s = 42 %  (PR 26284)
//   RX 5700 XT (Vulkan) 7B Q4_0: 65 tokens/s = 56 %; 468 tokens/s = 32 %   (PR 13324)
// A machine that is here is measured instead: `gantry devices --bench`.
#include "audit/catalogue.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "audit/facts.h"
#include "base/nearest.h"

namespace gantry {

namespace {

constexpr double kGiga = 1e9, kTera = 1e12;
// A display, its compositor and a browser: 0.4 to 0.8 GiB are seen on the card that drives it.
constexpr Bytes kDesktop = MiB(512);
constexpr Bytes kDriver = MiB(32);  // a card without a display
constexpr Bytes kDesktopHost = GiB(3);
constexpr size_t kCardsMax = 4;

// Bytes a second of one lane, encoding taken off.
double lane_rate(uint32_t generation) { return 0.985e9 * std::pow(2.0, generation - 3.0); }
// Of the link's rate: 12.3 of 15.75 GB/s and 25 of 31.5 GB/s are common for pinned memory. From
// ordinary memory the driver copies twice, at most as fast as one core moves bytes.
constexpr double kPinnedShare = 0.79;
constexpr double kPageableShare = 0.5;
constexpr double kPageableMost = 10e9;

struct Engine {
  const char* backend;
  double decode;   // share of the memory bandwidth
  double prefill;  // share of the FP16 rate
};
constexpr Engine kTuring = {"CUDA", 0.68, 0.35};
constexpr Engine kAmpere = {"CUDA", 0.70, 0.40};
constexpr Engine kAda = {"CUDA", 0.70, 0.40};
constexpr Engine kBlackwell = {"CUDA", 0.68, 0.38};
constexpr Engine kRdna1 = {"Vulkan", 0.56, 0.32};
constexpr Engine kRdna2 = {"ROCm", 0.63, 0.50};
constexpr Engine kRdna3 = {"ROCm", 0.54, 0.42};
constexpr Engine kRdna4 = {"ROCm", 0.55, 0.20};
constexpr Engine kXe = {"SYCL", 0.40, 0.12};

struct Card {
  std::string_view id;
  std::string_view description;
  uint32_t gibibytes;
  double gigabytes_per_s;
  uint32_t generation, width;
  double teraflops;  // FP16, dense
  Engine engine;
  std::string_view host = "desktop";
  DeviceKind kind = DeviceKind::kGpu;
};
constexpr std::array kCards = std::to_array<Card>({
    {"gtx1660-6g", "NVIDIA GeForce GTX 1660 SUPER", 6, 336, 3, 16, 10, kTuring},
    {"rtx2060-6g", "NVIDIA GeForce RTX 2060", 6, 336, 3, 16, 51.6, kTuring},
    {"rtx2080ti-11g", "NVIDIA GeForce RTX 2080 Ti", 11, 616, 3, 16, 107.6, kTuring},
    {"t4-16g", "NVIDIA T4", 16, 320, 3, 16, 65, kTuring},
    {"rtx3050-8g", "NVIDIA GeForce RTX 3050", 8, 224, 4, 8, 36.4, kAmpere},
    {"rtx3060-12g", "NVIDIA GeForce RTX 3060", 12, 360, 4, 16, 51.2, kAmpere},
    {"rtx3060ti-8g", "NVIDIA GeForce RTX 3060 Ti", 8, 448, 4, 16, 64.8, kAmpere},
    {"rtx3070-8g", "NVIDIA GeForce RTX 3070", 8, 448, 4, 16, 81.3, kAmpere},
    {"rtx3080-10g", "NVIDIA GeForce RTX 3080", 10, 760, 4, 16, 119, kAmpere},
    {"rtx3090-24g", "NVIDIA GeForce RTX 3090", 24, 936, 4, 16, 142, kAmpere},
    {"rtx4060-8g", "NVIDIA GeForce RTX 4060", 8, 272, 4, 8, 60.5, kAda},
    {"rtx4060ti-16g", "NVIDIA GeForce RTX 4060 Ti 16GB", 16, 288, 4, 8, 88.3, kAda},
    {"rtx4070-12g", "NVIDIA GeForce RTX 4070", 12, 504, 4, 16, 116.6, kAda},
    {"rtx4070ti-12g", "NVIDIA GeForce RTX 4070 Ti", 12, 504, 4, 16, 160.4, kAda},
    {"rtx4070ti-16g", "NVIDIA GeForce RTX 4070 Ti SUPER", 16, 672, 4, 16, 176.4, kAda},
    {"rtx4080-16g", "NVIDIA GeForce RTX 4080", 16, 717, 4, 16, 195, kAda},
    {"rtx4090-24g", "NVIDIA GeForce RTX 4090", 24, 1008, 4, 16, 330.3, kAda},
    {"rtx5060ti-16g", "NVIDIA GeForce RTX 5060 Ti 16GB", 16, 448, 5, 8, 94.9, kBlackwell,
     "desktop-ddr5"},
    {"rtx5070-12g", "NVIDIA GeForce RTX 5070", 12, 672, 5, 16, 123.5, kBlackwell, "desktop-ddr5"},
    {"rtx5070ti-16g", "NVIDIA GeForce RTX 5070 Ti", 16, 896, 5, 16, 175.8, kBlackwell,
     "desktop-ddr5"},
    {"rtx5080-16g", "NVIDIA GeForce RTX 5080", 16, 960, 5, 16, 225.1, kBlackwell, "desktop-ddr5"},
    {"rtx5090-32g", "NVIDIA GeForce RTX 5090", 32, 1792, 5, 16, 419, kBlackwell, "desktop-ddr5"},
    {"w5700x-16g", "AMD Radeon Pro W5700X", 16, 448, 3, 16, 18.9, kRdna1},
    {"rx6600-8g", "AMD Radeon RX 6600", 8, 224, 4, 8, 17.9, kRdna2},
    {"rx6700xt-12g", "AMD Radeon RX 6700 XT", 12, 384, 4, 16, 26.4, kRdna2},
    {"rx6800xt-16g", "AMD Radeon RX 6800 XT", 16, 512, 4, 16, 41.5, kRdna2},
    {"rx6900xt-16g", "AMD Radeon RX 6900 XT", 16, 512, 4, 16, 46.1, kRdna2},
    {"rx7600-8g", "AMD Radeon RX 7600", 8, 288, 4, 8, 43.5, kRdna3},
    {"rx7800xt-16g", "AMD Radeon RX 7800 XT", 16, 624, 4, 16, 74.7, kRdna3},
    {"rx7900xt-20g", "AMD Radeon RX 7900 XT", 20, 800, 4, 16, 103, kRdna3},
    {"rx7900xtx-24g", "AMD Radeon RX 7900 XTX", 24, 960, 4, 16, 122.8, kRdna3},
    {"rx9070xt-16g", "AMD Radeon RX 9070 XT", 16, 640, 5, 16, 195, kRdna4, "desktop-ddr5"},
    {"a750-8g", "Intel Arc A750", 8, 512, 4, 16, 137.6, kXe},
    {"a770-16g", "Intel Arc A770", 16, 560, 4, 16, 157.3, kXe},
    {"b580-12g", "Intel Arc B580", 12, 456, 4, 8, 116.7, kXe},
    {"rtx4050m-6g", "NVIDIA GeForce RTX 4050 Laptop", 6, 192, 4, 8, 48.5, kAda, "laptop"},
    {"radeon780m", "AMD Radeon 780M", 16, 89.6, 0, 0, 16.6, kRdna3, "laptop",
     DeviceKind::kIntegratedGpu},
});

// Processors. Decoding reads weights at 0.72 of the memory's bandwidth where enough cores read.
// Batches: llama.cpp multiplies about 95 GFLOP/s of Q4_0 a core with AVX2 at 4.5 GHz, fewer at
// lower clocks (50 to 70 tokens/s of a 7B prompt were published for 8 cores).
constexpr double kHostDecode = 0.72;
struct Host {
  std::string_view id;
  std::string_view model;
  uint32_t cores, e_cores, threads;
  uint32_t gibibytes;
  double gigabytes_per_s;  // of memory
  double gigaflops_a_core;
  double disk_gigabytes_per_s;
  bool npu = false;
};
constexpr std::array kHosts = std::to_array<Host>({
    {"desktop", "8 cores, DDR4-3200 in two channels", 8, 0, 16, 32, 51.2, 95, 3.0},
    {"desktop-ddr5", "8 cores, DDR5-5600 in two channels", 8, 0, 16, 32, 89.6, 105, 5.0},
    {"small", "4 cores, DDR4-3200 in two channels", 4, 0, 8, 16, 51.2, 85, 2.0},
    {"laptop", "Intel Core Ultra 7 155H", 6, 10, 22, 32, 89.6, 85, 4.0, true},
    {"workstation", "Intel Xeon W-3275M, 28 cores, DDR4-2933 in six channels", 28, 0, 56, 96,
     140.8, 80, 2.6},
});

struct Row {
  std::string_view id;
  std::string_view host;
  std::string_view cards;  // with "+" between; empty: none
};
constexpr std::array kMachines = std::to_array<Row>({
    {"rx6900xt+w5700x", "workstation", "rx6900xt-16g+w5700x-16g"},
    {"laptop-6g", "laptop", "rtx4050m-6g"},
    {"igpu", "laptop", "radeon780m"},
    {"cpu-16g", "small", ""},
    {"cpu-32g", "desktop", ""},
    {"cpu-28-cores", "workstation", ""},
});

struct Alias {
  std::string_view name, id;
};
constexpr std::array kAliases = std::to_array<Alias>({
    {"arc", "a770-16g"}, {"rtx3060", "rtx3060-12g"}, {"rtx4060", "rtx4060-8g"},
    {"rtx3090", "rtx3090-24g"}, {"rtx4090", "rtx4090-24g"}, {"rx6900xt", "rx6900xt-16g"},
    {"w5700x", "w5700x-16g"}, {"cpu", "cpu-32g"}, {"t4", "t4-16g"},
});

// What unpacking a type costs against Q4_0: K-quants and those with tables compute more for each
// byte; plain halves come nearest to the bandwidth. The same tables as above.
struct TypeRow {
  std::string_view name;
  double decode, prefill;       // on a GPU
  double cpu_decode, cpu_prefill;
};
constexpr std::array kTypes = std::to_array<TypeRow>({
    {"F32", 1.15, 0.35, 1.15, 0.35},   {"F16", 1.15, 1.00, 1.15, 0.60},
    {"BF16", 1.10, 0.90, 1.15, 0.50},  {"Q8_0", 1.12, 1.00, 1.10, 0.90},
    {"Q6_K", 0.95, 0.85, 1.00, 0.65},  {"Q5_K", 0.97, 0.88, 0.95, 0.60},
    {"Q5_1", 0.97, 0.85, 0.90, 0.50},  {"Q5_0", 0.95, 0.85, 0.90, 0.50},
    {"Q4_K", 1.00, 0.92, 1.00, 0.80},  {"Q4_1", 1.00, 0.95, 0.95, 0.60},
    {"Q4_0", 1.00, 1.00, 1.00, 1.00},  {"IQ4_NL", 0.97, 0.95, 0.95, 0.85},
    {"IQ4_XS", 0.97, 0.92, 0.85, 0.50}, {"MXFP4", 1.00, 0.95, 0.90, 0.50},
    {"Q3_K", 0.80, 0.80, 0.80, 0.50},  {"Q2_K", 0.75, 0.75, 0.75, 0.50},
});

// Work that is no matrix of weights, as shares of the same two rates: attention multiplies in
// halves and gains by staying on the chip; what lies between matrices only moves.
constexpr double kAttention = 0.35, kFlashAttention = 0.6, kMoving = 0.8;
constexpr double kElementBytes = 8;  // moved for each element between matrices

template <size_t N, class T>
const T* find(const std::array<T, N>& rows, std::string_view id) {
  const auto found = std::ranges::find(rows, id, &T::id);
  return found == rows.end() ? nullptr : &*found;
}

std::string_view without_alias(std::string_view id) {
  const auto found = std::ranges::find(kAliases, id, &Alias::name);
  return found == kAliases.end() ? id : found->id;
}

void add_rates(double decode, double prefill, bool host, Device* device) {
  for (const TypeRow& type : kTypes) {
    device->rates.push_back({std::string(type.name),
                             decode * (host ? type.cpu_decode : type.decode),
                             prefill * (host ? type.cpu_prefill : type.prefill)});
  }
  device->rates.push_back({"attention", decode * kMoving, prefill * kAttention});
  device->rates.push_back({"attention/flash", decode * kMoving, prefill * kFlashAttention});
  device->rates.push_back({"activations", decode * kMoving, decode * kMoving / kElementBytes});
}

Device host_device(const Host& host, const Memory& memory) {
  Device device;
  device.name = "cpu";
  device.backend = "CPU";
  device.description = host.model;
  device.kind = DeviceKind::kCpu;
  device.total = memory.total;
  device.free = memory.available;
  const double bandwidth = host.gigabytes_per_s * kGiga;
  device.bandwidth.memory_bytes_per_s = bandwidth;
  const double cores = host.cores + host.e_cores / 2.0;
  add_rates(bandwidth * kHostDecode, cores * host.gigaflops_a_core * kGiga, true, &device);
  return device;
}

Machine host_machine(const Host& host) {
  Machine machine;
  machine.recorded = true;
  machine.cpu.model = host.model;
  machine.cpu.threads = host.threads;
  const uint32_t e_threads = host.e_cores;
  for (uint32_t i = 0; i < host.threads; ++i) {
    const bool efficient = i >= host.threads - e_threads;
    (efficient ? machine.cpu.e_cores : machine.cpu.p_cores).push_back(static_cast<int>(i));
  }
  machine.cpu.features = {"avx2", "fma", "f16c"};
  machine.memory.total = GiB(host.gibibytes);
  machine.memory.available = machine.memory.total - kDesktopHost;
  machine.disk.path = "/";
  machine.disk.free = GiB(200);
  machine.disk.read_bytes_per_s = host.disk_gigabytes_per_s * kGiga;
  machine.devices.push_back(host_device(host, machine.memory));
  return machine;
}

// The first card drives the display.
void add_card(const Card& card, bool display, Machine* machine) {
  Device device;
  const std::string backend = card.engine.backend;
  size_t of_engine = 0;
  for (const Device& other : machine->devices) of_engine += other.backend.starts_with(backend);
  device.name = "gpu" + std::to_string(machine->devices.size() - 1);
  device.backend = backend + std::to_string(of_engine);
  device.description = card.description;
  device.kind = card.kind;
  device.total = GiB(card.gibibytes);
  device.free = device.total - (display ? kDesktop : kDriver);
  const double bandwidth = card.gigabytes_per_s * kGiga;
  device.bandwidth.memory_bytes_per_s = bandwidth;
  if (card.generation > 0) {
    device.link = PcieLink{card.generation, card.width, card.generation, card.width};
    const double link = lane_rate(card.generation) * card.width;
    device.bandwidth.host_copy_bytes_per_s = link * kPinnedShare;
    device.bandwidth.pageable_copy_bytes_per_s = std::min(kPageableMost, link * kPageableShare);
  } else {  // shares the host's memory
    device.bandwidth.host_copy_bytes_per_s = bandwidth / 2;
    device.bandwidth.pageable_copy_bytes_per_s = bandwidth / 2;
  }
  add_rates(bandwidth * card.engine.decode, card.teraflops * kTera * card.engine.prefill, false,
            &device);
  machine->devices.push_back(std::move(device));
}

// It has no memory of its own and no engine that takes layers; prompts have static shapes.
void add_npu(Machine* machine) {
  Device device;
  device.name = "npu0";
  device.backend = "NPU";
  device.description = "Intel AI Boost";
  device.kind = DeviceKind::kNpu;
  machine->devices.push_back(std::move(device));
}

std::vector<const Card*> cards_of(std::string_view list) {
  std::vector<const Card*> cards;
  while (!list.empty()) {
    const size_t plus = std::min(list.find('+'), list.size());
    cards.push_back(find(kCards, without_alias(list.substr(0, plus))));
    if (cards.back() == nullptr || cards.size() > kCardsMax || plus + 1 == list.size()) return {};
    list.remove_prefix(std::min(plus + 1, list.size()));
  }
  return cards;
}

std::optional<Machine> build(std::string_view host, std::string_view list) {
  const std::vector<const Card*> cards = cards_of(list);
  if (cards.empty() && !list.empty()) return std::nullopt;
  const Host* found = find(kHosts, host.empty() ? cards.front()->host : host);
  Machine machine = host_machine(*found);
  for (const Card* card : cards) add_card(*card, card == cards.front(), &machine);
  // An older host sets the pace of the link.
  for (Device& device : machine.devices) {
    if (found->id != "workstation" || !device.link) continue;
    device.link->generation = std::min(device.link->generation, 3U);
    const double link = lane_rate(device.link->generation) * device.link->width;
    device.bandwidth.host_copy_bytes_per_s = link * kPinnedShare;
    device.bandwidth.pageable_copy_bytes_per_s = std::min(kPageableMost, link * kPageableShare);
  }
  // What an integrated one may hold is the host's no more.
  for (const Device& device : machine.devices) {
    if (device.kind == DeviceKind::kIntegratedGpu) machine.memory.available -= device.total;
  }
  machine.devices.front().free = machine.memory.available;
  if (found->npu) add_npu(&machine);
  return machine;
}

std::string about(const Machine& machine) {
  std::string out;
  for (const Device& device : machine.devices) {
    if (device.kind == DeviceKind::kCpu || device.kind == DeviceKind::kNpu) continue;
    out += device.description + ", " + format_bytes(device.total) + "; ";
  }
  return out + machine.cpu.model + ", " + format_bytes(machine.memory.total);
}

std::vector<std::string_view> ids() {
  std::vector<std::string_view> out;
  for (const Card& card : kCards) {
    if (find(kMachines, card.id) == nullptr && card.host != "laptop") out.push_back(card.id);
  }
  for (const Row& row : kMachines) out.push_back(row.id);
  return out;
}

}  // namespace

std::vector<CatalogueMachine> catalogue_machines() {
  std::vector<CatalogueMachine> out;
  for (const std::string_view id : ids()) {
    const std::optional<Machine> machine = catalogue_machine(id);
    Bytes memory;
    for (const Device& device : machine->devices) {
      if (device.kind == DeviceKind::kGpu) memory += device.total;
    }
    out.push_back({std::string(id), about(*machine), memory});
  }
  std::ranges::stable_sort(out, {}, &CatalogueMachine::accelerator_memory);
  return out;
}

std::optional<Machine> catalogue_machine(std::string_view id) {
  const std::string_view name = without_alias(id);
  const Row* row = find(kMachines, name);
  if (row == nullptr && name.empty()) return std::nullopt;
  std::optional<Machine> machine =
      row != nullptr ? build(row->host, row->cards) : build("", name);
  if (!machine) return std::nullopt;
  machine->id = name;
  write_verdicts(&*machine);
  return machine;
}

std::string nearest_machine(std::string_view id) {
  std::vector<std::string> known;
  for (const std::string_view name : ids()) known.emplace_back(name);
  return nearest_name(known, id);
}

}  // namespace gantry
