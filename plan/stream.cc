// The streamer's needs and bounds. Which weights stay is its own arithmetic (choose_residency);
// what is added here are the bytes beside them.
#include "plan/stream.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <set>

#include "plan/need.h"
#include "stream/options.h"
#include "stream/residency.h"

namespace gantry {

namespace {

// Devices place weights at multiples of at most this.
constexpr uint64_t kPlaceAlign = 256;
// Cards that were not read from a file tell bytes of a layer alone; near enough to q, k, v, o |
// gate | up | down for the size of a ring.
constexpr uint64_t kPiecesUnknown = 4;
// A pass over a draft was seen to compute in twice the time of one token where weights are read
// from memory; with that and half as much again, drafts that come to nothing cost nothing.
constexpr double kDraftCost = 3;
// Slots of the streamer's expert pools end with so much, one a matrix and one more.
constexpr uint64_t kPoolPadding = 4096;
// Where bandwidths are unknown: a tier below memory is slower by more than this.
constexpr double kTierRatio = 8;

uint64_t up(uint64_t n, uint64_t to) { return (n + to - 1) / to * to; }

// As the streamer keeps it: aligned outward to whole reads on both sides.
uint64_t kept_bytes(uint64_t bytes) {
  if (bytes < kSmallWeight) return up(bytes, kPlaceAlign);
  return up(bytes, kReadAlign) + kReadAlign;
}

std::vector<uint64_t> sizes_of(const TensorGroup& group) {
  if (!group.sizes.empty()) return group.sizes;
  const uint64_t dense = (group.bytes - group.expert_bytes).n;
  return std::vector<uint64_t>(dense == 0 ? 0 : kPiecesUnknown, dense / kPiecesUnknown);
}

std::vector<uint64_t> expert_sizes_of(const TensorGroup& group) {
  if (!group.expert_sizes.empty() || group.expert_bytes.n == 0) return group.expert_sizes;
  return {group.expert_bytes.n};
}

bool on_accelerator(const std::string& device) { return device != kHost; }

// What the streamer will be asked: layers and the output matrix are its own.
ResidencyAsk ask_of(const ModelCard& card, bool accelerator) {
  ResidencyAsk ask;
  ask.layers = card.layers;
  std::set<std::vector<uint64_t>> banks;
  for (const TensorGroup& group : card.groups) {
    const bool output = group.part == Part::kOutput;
    const bool twice = group.part == Part::kEmbedding && is_tied(card);
    if ((group.part != Part::kLayer || group.layer < 0) && !output && !twice) continue;
    const uint32_t layer =
        group.part == Part::kLayer ? static_cast<uint32_t>(group.layer) : card.layers;
    uint64_t largest = 0;
    for (const uint64_t bytes : sizes_of(group)) {
      ask.weights.push_back({"", layer, kept_bytes(bytes), false});
      largest = std::max(largest, kept_bytes(bytes));
    }
    // An accelerator's kernels may compute two matrices of one input at once: gate and up.
    if (accelerator && group.part == Part::kLayer) {
      ask.largest_piece = std::max(ask.largest_piece, 2 * largest);
    }
    const std::vector<uint64_t> experts = expert_sizes_of(group);
    for (const uint64_t bytes : experts) {
      ask.weights.push_back({"", layer, kept_bytes(bytes), true});
    }
    if (!experts.empty() && banks.insert(experts).second) {
      for (const uint64_t bytes : experts) ask.experts_least += bytes + kPoolPadding;
      ask.experts_least += kPoolPadding;
    }
  }
  return ask;
}

// Needs with every layer on the device, and in them no layer, output or drafting yet.
struct Base {
  std::vector<Need> needs;
  size_t device = 0;  // index of the one that computes
  Bytes graph;        // of it, in the streamer's ledger
};

Base base_of(const Wish& wish, const std::string& device) {
  const ModelCard& card = *wish.card;
  Base base;
  base.graph = llama_graph_bytes(wish);
  Bytes streamable = card.bytes_in(Part::kLayer) + card.bytes_in(Part::kOutput);
  if (on_accelerator(device)) {
    base.needs = needs_of(wish, device, card.layers, {});
    if (is_tied(card)) streamable += card.bytes_in(Part::kEmbedding);
    base.needs[0].weights -= streamable;
    return base;
  }
  base.needs = needs_of(wish, "", 0, {});
  Need& host = base.needs[0];
  host.weights -= streamable;
  const uint64_t tokens = std::min(wish.ubatch, std::max(context_of(wish), 1U));
  host.compute += {product({2, tokens, card.embd, sizeof(float)})};  // embeddings looked up
  return base;
}

// On the CPU experts pass through memory that the streamer takes from the room for weights.
bool staged(const ResidencyAsk& ask, bool accelerator) {
  return !accelerator && ask.experts_least > 0;
}

// Of a room what the streamer has left for weights, and the room that so many of them need.
uint64_t weights_in(const ResidencyAsk& ask, bool accelerator, uint64_t room) {
  room -= std::min(room, kPageSlack);
  return staged(ask, accelerator) ? room - std::min(room, staging_bytes(room)) : room;
}

uint64_t room_for(const ResidencyAsk& ask, bool accelerator, uint64_t weights) {
  if (!staged(ask, accelerator)) return weights + kPageSlack;
  uint64_t staging = kStagingLeast;
  while (staging < staging_bytes(weights + staging)) staging = staging_bytes(weights + staging);
  return weights + staging + kPageSlack;
}

bool may_draft(const Wish& wish) {
  // A state cannot be rolled back, and several drafted tokens visit several experts.
  return wish.parallel == 1 && !wish.embeddings && wish.card->state_bytes.n == 0 &&
         wish.card->experts == 0;
}

Base with_drafts(const Wish& wish, Base base) {
  if (may_draft(wish)) {
    base.needs.back().compute += {product({kLookupTokens + 1, wish.card->vocab, sizeof(float)})};
  }
  return base;
}

struct Sums {
  uint64_t dense = 0, experts = 0;  // that do not stay
  uint32_t layers = 0;              // with any of them
};

Sums moved(const ResidencyAsk& ask, const Residency& chosen) {
  Sums sums;
  std::vector<bool> layers(ask.layers, false);
  for (size_t i = 0; i < ask.weights.size(); ++i) {
    if (chosen.resident[i]) continue;
    const WeightFact& weight = ask.weights[i];
    (weight.expert ? sums.experts : sums.dense) += weight.bytes;
    if (weight.layer < ask.layers) layers[weight.layer] = true;
  }
  sums.layers = static_cast<uint32_t>(std::ranges::count(layers, true));
  return sums;
}

double per_token(const ModelCard& card, const Sums& sums, uint64_t cache) {
  const double dense = static_cast<double>(sums.dense);
  if (sums.experts == 0 || card.experts == 0) return dense;
  const double all = static_cast<double>(sums.experts);
  // Experts are taken to be as probable as each other: the worst that a cache can meet.
  const double missed = 1 - std::min(1.0, static_cast<double>(cache) / all);
  return dense + all * std::max(card.experts_used, 1U) / card.experts * missed;
}

Choice put_together(const Wish& wish, const std::string& device, Base base,
                    const ResidencyAsk& ask, const Residency& chosen) {
  const Sums sums = moved(ask, chosen);
  StreamPlan plan;
  plan.device = device;
  plan.resident = {chosen.resident_bytes};
  plan.ring = {chosen.ring};
  plan.experts = {chosen.experts};
  plan.streamed = {sums.dense + sums.experts};
  plan.per_token = per_token(*wish.card, sums, chosen.experts);
  plan.resident_layers = ask.resident_layers;
  const bool accelerator = on_accelerator(device);
  const uint64_t weights = chosen.resident_bytes + chosen.ring + chosen.experts;
  const Bytes room{room_for(ask, accelerator, weights)};
  Need& need = base.needs[base.device];
  need.weights += room;
  // Beside an accelerator it all passes through host memory, the experts' own way.
  for (Need& host : base.needs) {
    if (!accelerator || host.device != kHost) continue;
    host.compute += {product({staging_bytes(weights), ask.experts_least > 0 ? 2U : 1U})};
  }
  plan.device_budget = room + need.kv + base.graph;
  Choice choice;
  choice.device = device;
  choice.streamed = sums.layers;
  choice.resident = wish.card->layers - sums.layers;
  choice.needs = std::move(base.needs);
  choice.stream = std::move(plan);
  return choice;
}

// Streamed weights beside an accelerator rest in host memory, as far as it goes.
void fill_host(const std::vector<Room>& rooms, Choice* choice) {
  if (!on_accelerator(choice->device)) return;
  for (Need& need : choice->needs) {
    if (need.device != kHost) continue;
    const Bytes left = budget_of(rooms, kHost) - need.total();
    choice->stream->host_budget = std::min(left, choice->stream->streamed);
    need.weights += choice->stream->host_budget;
  }
}

bool fits(const std::vector<Room>& rooms, const Choice& choice) {
  return std::ranges::all_of(choice.needs, [&](const Need& need) {
    return need.total() <= budget_of(rooms, need.device);
  });
}

const Device* device_of(const Machine& machine, const std::string& name) {
  const auto found = std::ranges::find(machine.devices, name, &Device::name);
  return found == machine.devices.end() ? nullptr : &*found;
}

// Seconds until so many of the streamed bytes are where they are used; absent where a bandwidth
// that decides is not known.
std::optional<double> arrival_seconds(const Machine& machine, const StreamPlan& plan,
                                      double bytes) {
  const double all = static_cast<double>(plan.streamed.n);
  const double hosted = static_cast<double>(std::min(plan.host_budget, plan.streamed).n);
  const double from_disk = all <= 0 ? 0 : bytes * (1 - hosted / all);
  double seconds = 0;
  if (from_disk > 0) {
    if (machine.disk.read_bytes_per_s.value_or(0) <= 0) return std::nullopt;
    seconds = from_disk / *machine.disk.read_bytes_per_s;
  }
  if (!on_accelerator(plan.device)) return seconds;
  const Device* device = device_of(machine, plan.device);
  if (device == nullptr || device->bandwidth.host_copy_bytes_per_s.value_or(0) <= 0) {
    return std::nullopt;
  }
  return std::max(seconds, bytes / *device->bandwidth.host_copy_bytes_per_s);
}

double touched_bytes(const Wish& wish, const StreamPlan& plan) {
  const uint32_t layers = on_accelerator(plan.device) ? wish.card->layers : 0;
  const Touched touched = touched_per_token(wish, layers);
  return touched.accelerator + touched.host;
}

std::optional<double> compute_seconds(const Machine& machine, const Wish& wish,
                                      const StreamPlan& plan) {
  const Device* device = device_of(machine, plan.device);
  if (device == nullptr || device->bandwidth.memory_bytes_per_s.value_or(0) <= 0) {
    return std::nullopt;
  }
  return touched_bytes(wish, plan) / *device->bandwidth.memory_bytes_per_s;
}

// While bytes arrive there is time to compute: more than one token, where arriving takes longer.
bool drafting_pays(const Machine& machine, const Wish& wish, const StreamPlan& plan) {
  const auto arrival = arrival_seconds(machine, plan, plan.per_token);
  const auto compute = compute_seconds(machine, wish, plan);
  if (arrival && compute) return *arrival > kDraftCost * *compute;
  return plan.per_token * kTierRatio > kDraftCost * touched_bytes(wish, plan);
}

}  // namespace

Result<StreamWish> parse_stream_wish(std::string_view text) {
  if (text == "auto") return StreamWish{};
  if (text == "off") return StreamWish{Streaming::kNever};
  if (const auto preset = preset_from_name(text)) {
    if (*preset == Preset::kWhole) return StreamWish{Streaming::kNever};
    return StreamWish{Streaming::kAlways, std::nullopt, *preset};
  }
  uint32_t layers = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), layers);
  if (error == std::errc() && end == text.data() + text.size() && layers <= kLayersMax) {
    return StreamWish{Streaming::kAlways, layers};
  }
  return fail(Code::kUsage, fmt::format("\"{}\" is no way to stream", text.substr(0, 64)),
              "use auto, off, light, moderate, balanced, aggressive, extreme, or the number of "
              "layers that stay");
}

bool can_stream(const Wish& wish) {
  return wish.engine == EngineKind::kLlama && wish.card && wish.card->layers > 0 &&
         !is_encoder(wish) && wish.card->bytes_in(Part::kLayer).n > 0 &&
         wish.adapters == 0 && !wish.draft;  // the streamer keeps weights of the model alone
}

std::optional<uint32_t> wished_layers(const Wish& wish) {
  if (!wish.card || wish.stream.streaming != Streaming::kAlways) return std::nullopt;
  const uint32_t layers = wish.card->layers;
  if (wish.stream.resident_layers) return std::min(*wish.stream.resident_layers, layers);
  return preset_layers(wish.stream.preset, layers);
}

std::optional<Choice> stream_choice(const Machine& machine, const std::vector<Room>& rooms,
                                    const Wish& wish, const std::string& device) {
  if (!can_stream(wish)) return std::nullopt;
  Base base = with_drafts(wish, base_of(wish, device));
  for (const Need& need : base.needs) {
    if (need.total() > budget_of(rooms, need.device)) return std::nullopt;
  }
  ResidencyAsk ask = ask_of(*wish.card, on_accelerator(device));
  ask.resident_layers = wished_layers(wish);
  if (!ask.resident_layers) {
    const Bytes room = budget_of(rooms, device) - base.needs[base.device].total();
    ask.room = weights_in(ask, on_accelerator(device), room.n);
  }
  const auto chosen = choose_residency(ask);
  if (!chosen || chosen->whole || chosen->ring + chosen->experts == 0) return std::nullopt;
  Choice choice = put_together(wish, device, std::move(base), ask, *chosen);
  if (choice.streamed == 0 || !fits(rooms, choice)) return std::nullopt;
  fill_host(rooms, &choice);
  choice.stream->lookup = may_draft(wish) && drafting_pays(machine, wish, *choice.stream);
  return choice;
}

std::vector<Choice> stream_ways(const Machine& machine, const Wish& wish,
                                const std::string& device) {
  std::vector<Choice> ways;
  if (!can_stream(wish)) return ways;
  const Base base = with_drafts(wish, base_of(wish, device));
  ResidencyAsk ask = ask_of(*wish.card, on_accelerator(device));
  const auto add = [&] {
    const auto chosen = choose_residency(ask);
    if (!chosen || chosen->whole || chosen->ring + chosen->experts == 0) return;
    Choice choice = put_together(wish, device, base, ask, *chosen);
    if (choice.streamed == 0) return;
    choice.stream->lookup = may_draft(wish) && drafting_pays(machine, wish, *choice.stream);
    ways.push_back(choice);
    if (!on_accelerator(device)) return;
    const Bytes streamed = choice.stream->streamed, half{streamed.n / 2};
    for (const Bytes& hosted : {half, streamed}) {
      Choice more = choice;
      more.stream->host_budget = hosted;
      more.needs.back().weights += hosted;
      more.stream->lookup = may_draft(wish) && drafting_pays(machine, wish, *more.stream);
      ways.push_back(std::move(more));
    }
  };
  ask.resident_layers = wished_layers(wish);
  if (ask.resident_layers) {
    add();
    return ways;
  }
  ask.room = least_room(ask);
  add();
  ask.room = UINT64_MAX;
  const uint32_t layers = wish.card->layers;
  const uint32_t step = (layers + kStreamSteps - 1) / kStreamSteps;
  for (uint32_t resident = 0; resident < layers; resident += step) {
    ask.resident_layers = resident;
    add();
  }
  return ways;
}

Speed stream_speed(const Machine& machine, const Wish& wish, const Choice& choice) {
  const StreamPlan& plan = *choice.stream;
  Speed speed;
  const auto arrival = arrival_seconds(machine, plan, plan.per_token);
  const double slowest =
      std::max(arrival.value_or(0), compute_seconds(machine, wish, plan).value_or(0));
  if (arrival && slowest > 0) speed.decode = 1 / slowest;
  // A full batch uses every expert once; how fast it is computed is not known here.
  const double missing = static_cast<double>((plan.streamed - plan.experts).n);
  const auto pass = arrival_seconds(machine, plan, missing);
  const uint32_t batch = std::min(wish.ubatch, std::max(context_of(wish), 1U));
  if (pass && *pass > 0) speed.prefill = batch / *pass;
  return speed;
}

std::string stream_text(const Machine& machine, const Wish& wish, const Choice& choice) {
  const StreamPlan& plan = *choice.stream;
  const bool hosted = plan.host_budget >= plan.streamed;
  const std::string tier = !on_accelerator(plan.device) ? "disk"
                           : hosted                     ? "host memory"
                           : plan.host_budget.n > 0     ? "host memory and disk"
                                                        : "disk";
  std::string out = fmt::format(
      "{} of {} layers stay on {}, {} stream from {}, {} a token through {}", choice.resident,
      wish.card->layers, plan.device == kHost ? "the CPU" : plan.device, choice.streamed, tier,
      format_bytes({static_cast<uint64_t>(plan.per_token)}),
      plan.ring.n > 0 ? "a ring of " + format_bytes(plan.ring) : "");
  if (plan.experts.n > 0) {
    out += (plan.ring.n > 0 ? " and an expert cache of " : "an expert cache of ") +
           format_bytes(plan.experts);
  }
  const auto arrival = arrival_seconds(machine, plan, plan.per_token);
  if (!arrival) out += "; `gantry devices --bench` measures how fast that is";
  if (plan.lookup) out += "; drafts from the text so far";
  return out;
}

}  // namespace gantry
