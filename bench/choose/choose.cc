// How long choose() takes for households of eight models of up to a hundred layers on four devices.
// JSON on stdout. usage: bench-choose [HOUSEHOLDS] [MODELS]
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <vector>

#include "base/rng.h"
#include "plan/choose.h"

namespace {

using gantry::ChooseAsk;
using gantry::Rng;
using gantry::Way;

constexpr double kMB = 1e6;

double between(Rng& rng, double low, double high) {
  return low + (high - low) * static_cast<double>(rng.below(1'000'001)) / 1e6;
}

// Four devices, the last of which is host memory.
struct Devices {
  std::vector<double> mb, bytes_per_s;
};

Devices random_devices(Rng& rng) {
  constexpr double kCards[] = {6e3, 8e3, 12e3, 16e3, 24e3};
  Devices out;
  for (int i = 0; i < 3; ++i) {
    const double size = kCards[rng.below(5)];
    out.mb.push_back(size - between(rng, 0, 1500));
    out.bytes_per_s.push_back(between(rng, 200e9, 900e9));
  }
  out.mb.push_back(16e3 * static_cast<double>(1 + rng.below(4)) * 0.8);
  out.bytes_per_s.push_back(between(rng, 20e9, 80e9));
  return out;
}

// A model as all its ways need it.
struct Model {
  size_t layers = 0;
  double layer_mb = 0, table_mb = 0, kv_mb = 0;  // table: embedding and output; kv of a layer
  double tokens = 0, weight = 0, fixed_s = 0;
};

Model random_model(Rng& rng) {
  Model model;
  model.layers = 12 + rng.below(89);
  const double total = between(rng, 0.3e3, 1.0) + 300 * (1 << rng.below(7));  // 0.3 to 19 GB
  model.table_mb = total * between(rng, 0.03, 0.15);
  model.layer_mb = (total - model.table_mb) / static_cast<double>(model.layers);
  model.kv_mb = model.layer_mb * between(rng, 0.01, 0.2);
  model.tokens = between(rng, 20, 1000);
  model.weight = between(rng, 0.2, 3) * (1 + static_cast<double>(rng.below(2)));
  model.fixed_s = between(rng, 0, 0.5);
  return model;
}

// Layers by device, under one setting of the other levers.
void add_way(const Model& model, const Devices& devices, const std::vector<size_t>& layers,
             size_t lever, std::vector<Way>* ways) {
  constexpr double kKv[] = {1, 0.53, 0.28};         // f16, q8_0, q4_0
  constexpr double kGivenUp[] = {1, 1.03, 1.1};     // what a smaller cache is held to cost
  double seconds = model.fixed_s, stored = 0;
  Way way;
  for (size_t d = 0; d < devices.mb.size(); ++d) {
    const auto count = static_cast<double>(layers[d]);
    const double layer = model.layer_mb + model.kv_mb * kKv[lever];
    const bool host = d + 1 == devices.mb.size();
    double mb = count * layer + (host ? 350 + model.table_mb / 2 : 0);
    if (!host && layers[d] > 0) mb += 420 + 0.02 * model.layer_mb * count;  // context, buffers
    seconds += model.tokens * count * layer * kMB / devices.bytes_per_s[d];
    if (!host && layers[d] > 0) seconds += model.tokens * 20e-6;  // one more hop a token
    stored += count * model.layer_mb;
    way.bytes.push_back(static_cast<uint64_t>(mb * kMB));
  }
  way.cost = model.weight * seconds * kGivenUp[lever];
  way.swap = model.weight * (stored + model.table_mb) * kMB / 1.5e9;
  ways->push_back(std::move(way));
}

// All splits on a grid as fine as the number of ways allows, under three levers.
std::vector<Way> ways_of(const Model& model, const Devices& devices, size_t ways_max) {
  std::vector<Way> ways;
  size_t step = 1;
  const auto count = [&](size_t by) {
    const size_t n = model.layers / by + 1;
    return 3 * n * (n + 1) * (n + 2) / 6;
  };
  while (count(step) > ways_max) ++step;
  const size_t n = model.layers / step;
  for (size_t lever = 0; lever < 3; ++lever) {
    for (size_t a = 0; a <= n; ++a) {
      for (size_t b = 0; a + b <= n; ++b) {
        for (size_t c = 0; a + b + c <= n; ++c) {
          const size_t used = (a + b + c == n) ? model.layers : (a + b + c) * step;
          const size_t last = c == 0 ? (b == 0 ? 0 : 1) : 2;  // takes what the grid leaves
          std::vector<size_t> layers{a * step, b * step, c * step, model.layers - used};
          if (used == model.layers) layers[last] += model.layers - n * step;
          add_way(model, devices, layers, lever, &ways);
        }
      }
    }
  }
  // Finer on one card alone.
  for (size_t d = 0; d < 3; ++d) {
    for (size_t k = 1; k <= model.layers; ++k) {
      std::vector<size_t> layers(4, 0);
      layers[d] = k;
      layers[3] = model.layers - k;
      add_way(model, devices, layers, 0, &ways);
    }
  }
  return ways;
}

ChooseAsk random_household(uint64_t seed, size_t models) {
  Rng rng(seed);
  const Devices devices = random_devices(rng);
  ChooseAsk ask;
  for (const double mb : devices.mb) ask.budgets.push_back(static_cast<uint64_t>(mb * kMB));
  for (size_t m = 0; m < models; ++m) {
    const Model model = random_model(rng);
    ask.ways.push_back(ways_of(model, devices, 300 + rng.below(1300)));
    ask.shares.push_back(between(rng, 0.1, 2));
    ask.stays.push_back(rng.below(16) == 0);
  }
  if (rng.below(3) == 0) ask.together.emplace_back(0, 1);
  if (rng.below(3) == 0) ask.apart.emplace_back(2, 3);
  return ask;
}

double seconds_now() {  // of this process: others are busy here too
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

double at(std::vector<double> values, double part) {
  std::sort(values.begin(), values.end());
  if (values.empty()) return 0;
  return values[static_cast<size_t>(part * static_cast<double>(values.size() - 1))];
}

struct Taken {
  std::vector<double> ms, nodes, ways, turning;
  size_t refused = 0, unproven = 0;
  double gap = 0;
};

void take(const ChooseAsk& ask, Taken* taken) {
  const double start = seconds_now();
  const auto chosen = gantry::choose(ask);
  const double ms = 1e3 * (seconds_now() - start);
  double all = 0;
  for (const auto& list : ask.ways) all += static_cast<double>(list.size());
  taken->ways.push_back(all);
  if (!chosen) {
    ++taken->refused;
    return;
  }
  taken->ms.push_back(ms);
  taken->nodes.push_back(static_cast<double>(chosen->nodes));
  const auto turning = std::count(chosen->stays.begin(), chosen->stays.end(), false);
  taken->turning.push_back(static_cast<double>(turning));
  if (chosen->bound >= chosen->cost) return;
  ++taken->unproven;
  taken->gap = std::max(taken->gap, 1 - chosen->bound / chosen->cost);
}

}  // namespace

int main(int argc, char** argv) {
  const size_t households = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 500;
  const size_t models = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 8;
  Taken taken;
  for (uint64_t seed = 1; seed <= households; ++seed) {
    take(random_household(seed, models), &taken);
  }
  size_t over = 0;
  for (const double ms : taken.ms) over += ms > 50 ? 1 : 0;
  fmt::print("{{\n\"made_with\": \"bench-choose {} {}, processor time of one thread\",\n",
             households, models);
  fmt::print("\"households\": {}, \"models\": {}, \"devices\": 4,\n", households, models);
  fmt::print("\"ways_of_all_models\": {{\"median\": {}, \"most\": {}}},\n", at(taken.ways, 0.5),
             at(taken.ways, 1));
  fmt::print("\"ms\": {{\"median\": {:.1f}, \"p90\": {:.1f}, ", at(taken.ms, 0.5),
             at(taken.ms, 0.9));
  fmt::print("\"p99\": {:.1f}, \"worst\": {:.1f}}},\n", at(taken.ms, 0.99), at(taken.ms, 1));
  fmt::print("\"over_50_ms\": {},\n", over);
  fmt::print("\"nodes\": {{\"median\": {}, \"p90\": {}, \"p99\": {}, \"worst\": {}}},\n",
             at(taken.nodes, 0.5), at(taken.nodes, 0.9), at(taken.nodes, 0.99),
             at(taken.nodes, 1));
  fmt::print("\"models_in_turn_median\": {}, \"do_not_fit_or_contradict\": {},\n",
             at(taken.turning, 0.5), taken.refused);
  fmt::print("\"unproven\": {}, \"largest_gap\": {:.5f}\n}}\n", taken.unproven, taken.gap);
  return 0;
}
