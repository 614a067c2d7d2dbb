// How long plan() takes for eight models of up to a hundred layers on four devices, from wishes to
// placements; how much of it the ways are. JSON on stdout. usage: bench-plan [HOUSEHOLDS] [LAYERS]
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <vector>

#include "plan/example.h"
#include "plan/place.h"
#include "plan/ways.h"

namespace {

using gantry::Demand;
using gantry::GiB;
using gantry::Machine;
using gantry::Rng;
using gantry::Wish;

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// A card as it is read from a file: with the size of each matrix.
gantry::ModelCard card_of(uint32_t layers, uint32_t embd) {
  gantry::ModelCard card = gantry::llama_card({embd, layers, embd / 128, embd / 512, embd * 3,
                                               64'000, 32'768});
  for (gantry::TensorGroup& group : card.groups) {
    if (group.part != gantry::Part::kLayer) continue;
    const uint64_t square = 2ULL * embd * embd;
    group.sizes = {square, square / 4, square / 4, square, 3 * square, 3 * square, 3 * square,
                   2ULL * embd, 2ULL * embd};
  }
  return card;
}

Demand household(Rng& rng, uint32_t layers) {
  Demand demand;
  for (int i = 0; i < 8; ++i) {
    const uint32_t depth = layers != 0 ? layers : 12 + static_cast<uint32_t>(rng.below(89));
    const auto embd = static_cast<uint32_t>(512 * (1 + rng.below(4)));
    Wish wish = gantry::wish_for("m" + std::to_string(i), card_of(depth, embd));
    wish.flash_attention = true;
    wish.usage.share = 0.25 * static_cast<double>(1 + rng.below(8));
    demand.wishes.push_back(std::move(wish));
  }
  return demand;
}

Machine machine_of(Rng& rng) {
  Machine machine = gantry::machine_with(GiB(16 * (1 + rng.below(4))),
                                         {GiB(6 + rng.below(18)), GiB(6 + rng.below(18)),
                                          GiB(6 + rng.below(18))});
  machine.disk.read_bytes_per_s = 2e9;
  for (gantry::Device& device : machine.devices) {
    const bool cpu = device.kind == gantry::DeviceKind::kCpu;
    device.bandwidth.memory_bytes_per_s = cpu ? 4e10 : 2e11 + 1e11 * double(rng.below(8));
    if (!cpu) device.bandwidth.host_copy_bytes_per_s = 1.2e10;
  }
  return machine;
}

double at(std::vector<double> values, double quantile) {
  std::ranges::sort(values);
  const auto last = static_cast<double>(values.size() - 1);
  return values.empty() ? 0 : values[static_cast<size_t>(quantile * last)];
}

}  // namespace

int main(int argc, char** argv) {
  const int households = argc > 1 ? std::atoi(argv[1]) : 50;
  const auto layers = static_cast<uint32_t>(argc > 2 ? std::atoi(argv[2]) : 0);
  Rng rng(1);
  std::vector<double> ms, ways_ms, count;
  int fits = 0, together = 0;
  for (int i = 0; i < households; ++i) {
    const Demand demand = household(rng, layers);
    const Machine machine = machine_of(rng);
    const auto rooms = gantry::rooms_of(machine, demand);
    double start = seconds_now();
    double options = 0;
    for (const Wish& wish : demand.wishes) {
      options += static_cast<double>(
          gantry::ways_of(machine, *rooms, wish, {demand.prefer, 0, false}).options.size());
    }
    ways_ms.push_back(1e3 * (seconds_now() - start));
    count.push_back(options);
    start = seconds_now();
    const auto plan = gantry::plan_once(machine, demand);
    ms.push_back(1e3 * (seconds_now() - start));
    fits += plan && plan->fits ? 1 : 0;
    together += plan && plan->together ? 1 : 0;
  }
  fmt::print("{{\"households\": {}, \"models\": 8, \"devices\": 4, \"layers\": {},\n", households,
             layers == 0 ? "\"12 to 100\"" : std::to_string(layers));
  fmt::print("\"ways\": {{\"median\": {}, \"most\": {}}},\n", at(count, 0.5), at(count, 1));
  fmt::print("\"plan_ms\": {{\"median\": {:.1f}, \"p90\": {:.1f}, \"worst\": {:.1f}}},\n",
             at(ms, 0.5), at(ms, 0.9), at(ms, 1));
  fmt::print("\"of_that_ways_ms\": {{\"median\": {:.1f}, \"worst\": {:.1f}}},\n", at(ways_ms, 0.5),
             at(ways_ms, 1));
  fmt::print("\"fits\": {}, \"together\": {}}}\n", fits, together);
  return 0;
}
