// Fuzz target: demands and machines at and beyond their edges. plan() ends with a plan that
// verify() accepts and that prints, or with a typed error. The first bytes are the seed of a
// demand; each nine that follow change one figure in it: which, and to what.
#include <array>
#include <cstring>
#include <nlohmann/json.hpp>
#include <span>

#include "lab/fuzz/expect.h"
#include "plan/example.h"
#include "plan/place.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

using namespace gantry;

constexpr size_t kChangesMax = 64;
constexpr uint32_t kLayersMax = 2048;  // each costs time, and a card has each in its groups

void change_machine(Machine* machine, uint64_t which, uint64_t value) {
  Device& device = machine->devices[which / 8 % machine->devices.size()];
  switch (which % 8) {
    case 0: machine->memory.total = Bytes{value}; break;
    case 1: machine->memory.available = Bytes{value}; break;
    case 2: machine->memory.cgroup_limit = Bytes{value}; break;
    case 3: machine->memory.cgroup_used = Bytes{value}; break;
    case 4: device.total = Bytes{value}; break;
    case 5: device.free = Bytes{value}; break;
    case 6: device.kind = device.kind == DeviceKind::kCpu ? device.kind : DeviceKind::kNpu; break;
    default: std::memcpy(&device.bandwidth.memory_bytes_per_s.emplace(), &value, sizeof value);
  }
}

void change_card(ModelCard* card, uint64_t which, uint64_t value) {
  const auto small = static_cast<uint32_t>(value);
  switch (which % 10) {
    case 0: card->embd = small; break;
    case 1: card->heads = small; break;
    case 2: card->heads_kv = small; break;
    case 3: card->ffn = small; break;
    case 4: card->vocab = small; break;
    case 5: card->context_trained = small; break;
    case 6: card->layers = small % kLayersMax; break;
    case 7: card->state_bytes = Bytes{value}; break;
    case 8:
      if (card->groups.empty()) break;
      card->groups[which / 10 % card->groups.size()].bytes = Bytes{value};
      break;
    default:
      if (!card->kv.empty()) card->kv[which / 10 % card->kv.size()].k_width = small;
  }
}

void change_wish(Wish* wish, uint64_t which, uint64_t value) {
  const auto small = static_cast<uint32_t>(value);
  switch (which % 8) {
    case 0: wish->context = small; break;
    case 1: wish->parallel = small; break;
    case 2: wish->ubatch = small; break;
    case 3: wish->declared = Bytes{value}; break;
    case 4: wish->measured_overhead = Bytes{value}; break;
    case 5: wish->cache_k = kCacheTypes[value % kCacheTypes.size()]; break;
    case 6: wish->engine = static_cast<EngineKind>(value % 4); break;
    default: wish->stream.resident_layers = small; break;
  }
}

void change(Machine* machine, Demand* demand, uint64_t which, uint64_t value) {
  Wish& wish = demand->wishes[which / 4 % demand->wishes.size()];
  switch (which % 4) {
    case 0: return change_machine(machine, which / 4, value);
    case 1: return change_wish(&wish, which / 4, value);
    case 2:
      if (wish.card) change_card(&*wish.card, which / 4, value);
      return;
    default: (value % 2 == 0 ? demand->ram : demand->vram) = Budget{Bytes{value}, std::nullopt};
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::array<uint64_t, 2> seeds{};
  std::memcpy(seeds.data(), data, std::min(size, sizeof seeds[0]));
  Rng rng(seeds[0]);
  Machine machine = random_machine(rng);
  Demand demand = random_demand(rng);
  std::span<const uint8_t> rest(data, size);
  rest = rest.subspan(std::min(size, sizeof seeds[0]));
  for (size_t i = 0; rest.size() >= 9 && i < kChangesMax; ++i, rest = rest.subspan(9)) {
    uint64_t value = 0;
    std::memcpy(&value, rest.data() + 1, sizeof value);
    change(&machine, &demand, rest[0], value);
  }
  // Looking for what would be enough takes a hundred plans: not each time.
  const auto made = seeds[0] % 32 == 0 ? plan(machine, demand) : plan_once(machine, demand);
  if (!made) {
    expect(!made.error().message.empty() && made.error().code != Code::kInternal);
    return 0;
  }
  expect(verify(machine, demand, *made).has_value());
  expect(!plan_json(*made).dump().empty() && !plan_text(*made).empty());
  return 0;
}
