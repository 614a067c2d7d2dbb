// Planning a model and building what was planned.
#include "stream/model.h"

#include <algorithm>
#include <cstring>
#include <unordered_set>
#include <utility>

#include "audit/facts.h"
#include "base/os.h"
#include "ggml-impl.h"

namespace gantry {
namespace {

// Of what is free, where no budget was set: the desktop breathes.
constexpr double kAutoUtilisation = 0.80;
// Of what is free, for the host tier, where no budget was set.
constexpr double kAutoHostShare = 0.5;
// Smaller pieces of one layer travel together.
constexpr uint64_t kPieceWanted = 1ull << 20;
// A model that does not get the memory it planned with is planned again, with an eighth less.
constexpr int kPlanTries = 12;

uint64_t up(uint64_t n, uint64_t to) { return (n + to - 1) / to * to; }

uint64_t share(uint64_t n, double part) {
  return static_cast<uint64_t>(static_cast<double>(n) * part);
}

// A weight's image is aligned outward to whole reads on both sides.
uint64_t planned_bytes(const Inner& inner, const Weight& weight) {
  const uint64_t space = inner.space(weight.tensor);
  if (space < kSmallWeight) return up(space, inner.alignment());
  return up(space, kReadAlign) + kReadAlign;
}

// What to hold after this much could not be had.
uint64_t less(const Residency& residency) {
  const uint64_t held = residency.resident_bytes + residency.ring + residency.experts;
  return held - std::min(held, std::max<uint64_t>(held / 8, kStagingLeast));
}

uint64_t free_host_memory() {
  const auto os = make_real_os();
  const auto memory = read_memory(*os);
  return memory ? memory->usable().n : UINT64_MAX;
}

uint64_t total_host_memory() {
  const auto os = make_real_os();
  const auto memory = read_memory(*os);
  if (!memory) return UINT64_MAX;
  return memory->cgroup_limit ? std::min(memory->total, *memory->cgroup_limit).n
                              : memory->total.n;
}

}  // namespace

struct StreamModel::Room {
  std::optional<uint64_t> budget;  // of the device, everything counted
  uint64_t free = UINT64_MAX;      // on the device
};

StreamModel::StreamModel(const Inner& inner, const StreamOptions& options, StatsPage& stats,
                         Trace& trace, std::mutex& planning, ggml_backend_buffer_type_t streamed)
    : inner_(inner),
      options_(options),
      stats_(stats),
      trace_(trace),
      planning_(planning),
      streamed_(streamed) {
  stats_.live_models++;
}

StreamModel::~StreamModel() {
  release_everything();
  stats_.kv_compute_bytes -= kv_compute_;
  stats_.live_models--;
}

void StreamModel::add_store(Store* store) {
  store->model = this;
  stores_.push_back(store);
}

void StreamModel::remove_store(Store* store) {
  const std::lock_guard turn(turn_);
  release_everything();  // nothing may be read from it any more
  groups_.clear();
  bank_groups_.clear();
  small_.clear();
  std::erase(stores_, store);
  store->model = nullptr;
}

std::vector<Store*> StreamModel::give_up() {
  const std::vector<Store*> all = stores_;
  for (Store* store : all) remove_store(store);
  return all;
}

bool StreamModel::note_buffers(const GraphFacts& facts, const void* owner) {
  auto& known = buffers_[owner];
  const auto computes = [](ggml_backend_buffer_t buffer) {
    return ggml_backend_buffer_get_usage(buffer) == GGML_BACKEND_BUFFER_USAGE_COMPUTE;
  };
  // A context that grew its compute buffers has freed the old ones.
  if (std::any_of(facts.buffers.begin(), facts.buffers.end(), computes)) {
    std::erase_if(known, [](const auto& entry) { return entry.second.computes; });
  }
  for (ggml_backend_buffer_t buffer : facts.buffers) {
    known[buffer] = {ggml_backend_buffer_get_size(buffer), computes(buffer)};
  }
  uint64_t sum = 0;
  for (const auto& [who, buffers] : buffers_) {
    for (const auto& [buffer, seen] : buffers) sum += seen.bytes;
  }
  const bool grew = sum > kv_compute_;
  stats_.kv_compute_bytes += sum - kv_compute_;
  kv_compute_ = sum;
  return grew;
}

void StreamModel::forget(const void* owner) {
  buffers_.erase(owner);
  note_buffers({}, nullptr);
  buffers_.erase(nullptr);
}

bool StreamModel::note_order(const GraphFacts& facts) {
  std::unordered_set<const Weight*> known;
  const auto note = [&](const WeightGroup& group) { known.insert(group.begin(), group.end()); };
  note(small_);
  for (const auto& group : groups_) note(group);
  for (const auto& bank : bank_groups_) note(bank);
  bool changed = false;
  const auto fresh = [&](const WeightGroup& group) {
    WeightGroup out;
    for (Weight* weight : group) {
      if (known.insert(weight).second) out.push_back(weight);
    }
    changed = changed || !out.empty();
    return out;
  };
  for (const auto& group : facts.groups) {
    if (auto added = fresh(group); !added.empty()) groups_.push_back(std::move(added));
  }
  for (const auto& bank : facts.banks) {
    if (auto added = fresh(bank); !added.empty()) bank_groups_.push_back(std::move(added));
  }
  const auto added = fresh(facts.small);
  small_.insert(small_.end(), added.begin(), added.end());
  return changed;
}

Result<void> StreamModel::prepare(const ggml_cgraph* graph, const void* owner) {
  const auto facts = read_graph(graph, streamed_, inner_.memory, !inner_.host);
  const bool grew = note_buffers(facts, owner);
  const bool changed = note_order(facts);
  if (planned_ && !changed && !(grew && options_.device_budget)) return {};
  return plan();
}

StreamModel::Room StreamModel::room() const {
  Room room;
  size_t free = 0, total = 0;
  if (inner_.host) {
    free = free_host_memory();
    total = total_host_memory();
  } else {
    ggml_backend_dev_memory(inner_.device, &free, &total);
    if (total == 0) free = total = SIZE_MAX;  // a device that does not tell
  }
  room.free = free;
  if (options_.device_budget) room.budget = options_.device_budget->of({total}).n;
  return room;
}

ResidencyAsk StreamModel::ask(const Room& room) {
  ResidencyAsk ask;
  ask.order = options_.order;
  ask.ring = options_.ring.value_or(Bytes{0}).n;
  ask.experts = options_.experts.value_or(Bytes{0}).n;
  ask.experts_least = ExpertBanks::least_bytes(bank_groups_);
  layers_ = 0;
  for (const Store* store : stores_) {
    for (const Weight& weight : const_cast<Store*>(store)->weights()) {
      if (weight.layer) layers_ = std::max(layers_, *weight.layer + 1);
    }
  }
  ask.layers = layers_;
  const auto add = [&](const Weight* weight, bool expert) {
    ask.weights.push_back({weight->tensor->name, weight->layer.value_or(layers_),
                           planned_bytes(inner_, *weight), expert, weight->store->is_cache()});
    return ask.weights.back().bytes;
  };
  for (const Weight* weight : small_) add(weight, false);
  for (const auto& group : groups_) {
    uint64_t bytes = 0;
    for (const Weight* weight : group) bytes += add(weight, false);
    if (group.size() > 1) ask.largest_piece = std::max(ask.largest_piece, bytes);
  }
  for (const auto& bank : bank_groups_) {
    for (const Weight* weight : bank) add(weight, true);
  }
  const bool by_bytes = options_.preset == Preset::kAuto && !options_.resident_layers;
  if (options_.resident_layers) {
    ask.resident_layers = std::min(*options_.resident_layers, layers_);
  } else if (!by_bytes) {
    ask.resident_layers = preset_layers(options_.preset, layers_);
  }
  ask.room = by_bytes && !room.budget ? share(room.free, kAutoUtilisation) : room.free;
  if (room.budget) {
    // Ours is released by now: what the page counts is other models'.
    ask.taken = stats_.kv_compute_bytes + stats_.resident_bytes + stats_.ring_bytes +
                stats_.expert_cache_bytes;
    ask.room = std::min(ask.room, *room.budget - std::min(*room.budget, ask.taken));
  }
  ask.room = std::min(ask.room, most_);
  ask.room -= std::min(ask.room, kPageSlack);
  ask.taken += kPageSlack;
  staging_ = staging_bytes(ask.room);
  if (inner_.host && !bank_groups_.empty()) {
    ask.room -= std::min(ask.room, staging_);  // experts pass through it as long as the model lives
    ask.taken += staging_;
  }
  return ask;
}

// The loader's bytes are in memory of the inner device's kind for good, whatever is planned.
bool StreamModel::kept_in_memory() const {
  return inner_.host && std::all_of(stores_.begin(), stores_.end(), [](const Store* store) {
           return !store->is_mapped() && store->in_memory();
         });
}

Residency StreamModel::hold_everything() const {
  Residency all;
  all.whole = true;
  const auto add = [&](const WeightGroup& group) {
    for (const Weight* weight : group) {
      all.resident.push_back(true);
      all.resident_bytes += weight->bytes;
    }
  };
  add(small_);
  for (const auto& group : groups_) add(group);
  for (const auto& bank : bank_groups_) add(bank);
  return all;
}

Result<void> StreamModel::plan() {
  const std::lock_guard alone(planning_);
  release_everything();
  auto residency = choose_residency(ask(room()));
  if (kept_in_memory()) residency = hold_everything();
  if (!residency || !residency->whole || !inner_.host) {
    // Read by ourselves from now on; until then the page cache may have looked like no room.
    for (const Store* store : stores_) store->drop_mapping();
    residency = choose_residency(ask(room()));
  }
  for (int i = 0; residency && i < kPlanTries; i++) {
    const auto built = build(*residency);
    if (built) {
      planned_ = true;
      if (!residency->as_asked) {
        GGML_LOG_WARN("gantry: there is no room for the resident layers that were asked for; "
                      "keeping what fits\n");
      }
      publish(*residency);
      return {};
    }
    release_everything();
    if (built.error().code != Code::kDoesNotFit) return fail(built.error());
    most_ = less(*residency);
    GGML_LOG_WARN("gantry: %s; keeping at most %s on the device\n", built.error().message.c_str(),
                  format_bytes({most_}).c_str());
    residency = choose_residency(ask(room()));
  }
  if (!residency) return fail(residency.error());
  return fail(Code::kDoesNotFit, "the device gives no memory for any layer",
              "close other programs, or use a smaller model");
}

bool StreamModel::shrink() {
  if (!planned_ || published_.resident == 0) return false;
  Residency now;
  now.resident_bytes = published_.resident;
  now.ring = published_.ring;
  now.experts = published_.experts;
  most_ = less(now);
  stats_.shrinks++;
  GGML_LOG_WARN("gantry: the device ran out of memory; keeping at most %s on it\n",
                format_bytes({most_}).c_str());
  return plan().has_value();
}

std::vector<const DirectFile*> StreamModel::files() const {
  std::vector<const DirectFile*> out;
  for (const Store* store : stores_) {
    for (const auto& file : store->files()) out.push_back(&file);
  }
  return out;
}

Part StreamModel::part_of(const Weight& weight) const {
  Part part{weight.source, weight.bytes, inner_.space(weight.tensor)};
  const auto hosted = hosted_.find(&weight);
  if (hosted != hosted_.end()) {
    part.source = {-1, 0, hosted->second};
  } else if (part.source.file >= 0) {
    for (const Store* store : stores_) {
      if (store == weight.store) break;
      part.source.file += static_cast<int>(store->files().size());
    }
  }
  return part;
}

Loader::Options StreamModel::loader_options(bool staged) const {
  Loader::Options options;
  options.reader.kind = options_.io;
  options.staging_bytes = staging_ / kStagingBuffers;
  options.staging_buffers = staged ? kStagingBuffers : 0;
  return options;
}

Result<void> StreamModel::build(const Residency& residency) {
  size_t i = 0;
  const auto place = [&](Weight* weight, bool expert) {
    weight->place = residency.resident[i++] ? Weight::Place::kResident
                    : expert                ? Weight::Place::kExpert
                                            : Weight::Place::kStreamed;
  };
  for (Weight* weight : small_) place(weight, false);
  for (const auto& group : groups_) {
    for (Weight* weight : group) place(weight, false);
  }
  for (const auto& bank : bank_groups_) {
    for (Weight* weight : bank) place(weight, true);
  }
  const bool in_memory = std::all_of(stores_.begin(), stores_.end(),
                                     [](const Store* store) { return store->in_memory(); });
  if (residency.whole && inner_.host && in_memory) return build_in_place();
  auto loader = Loader::make(loader_options(true), inner_, files(), stats_, trace_);
  if (!loader) return fail(loader.error());
  if (const auto ok = load_residents(**loader); !ok) return ok;
  if (residency.whole) return {};
  if (const auto ok = load_host_tier(**loader); !ok) return ok;
  if (!bank_groups_.empty()) {
    foreground_ = std::move(*loader);
    std::vector<std::vector<Part>> sources(bank_groups_.size());
    for (size_t bank = 0; bank < bank_groups_.size(); bank++) {
      for (const Weight* weight : bank_groups_[bank]) sources[bank].push_back(part_of(*weight));
    }
    auto banks = ExpertBanks::make(inner_, bank_groups_, residency.experts, std::move(sources),
                                   *foreground_, stats_, trace_);
    if (!banks) return fail(banks.error());
    banks_ = std::move(*banks);
  }
  loader->reset();
  return build_ring(residency);
}

// Plain memory that holds everything anyway: computed with where it is.
Result<void> StreamModel::build_in_place() {
  for (Store* store : stores_) {
    DeviceBuffer buffer(ggml_backend_dev_buffer_from_host_ptr(inner_.device, store->base(),
                                                              store->size(), store->size()));
    if (!buffer) return fail(Code::kInternal, "the device takes no memory of the loader's");
    for (Weight& weight : store->weights()) {
      const auto placed = place_clone(weight.clone, weight.tensor, buffer.get(),
                                      static_cast<std::byte*>(weight.tensor->data));
      if (!placed) return placed;
    }
    in_place_.push_back(std::move(buffer));
  }
  return {};
}

Result<void> StreamModel::load_residents(Loader& loader) {
  residents_.resize(layers_ + 2);
  const auto add = [&](Weight* weight) {
    if (weight->place != Weight::Place::kResident) return;
    const bool small = inner_.space(weight->tensor) < kSmallWeight;
    auto& layer = residents_[small ? layers_ + 1 : weight->layer.value_or(layers_)];
    layer.weights.push_back(weight);
    layer.parts.push_back(part_of(*weight));
  };
  for (Weight* weight : small_) add(weight);
  for (const auto& group : groups_) std::for_each(group.begin(), group.end(), add);
  for (const auto& bank : bank_groups_) std::for_each(bank.begin(), bank.end(), add);
  for (Layer& layer : residents_) {
    if (layer.weights.empty()) continue;
    layer.image = lay_staged(layer.parts, inner_.alignment());
    auto buffer = inner_.allocate(layer.image.bytes);
    if (!buffer) return fail(buffer.error());
    layer.buffer = std::move(*buffer);
    for (size_t i = 0; i < layer.weights.size(); i++) {
      Weight& weight = *layer.weights[i];
      const auto placed = place_clone(weight.clone, weight.tensor, layer.buffer.get(),
                                      layer.buffer.aligned() + layer.image.at[i]);
      if (!placed) return placed;
    }
    LoadJob job;
    job.parts = &layer.parts;
    job.image = &layer.image;
    job.name = "resident";
    job.sink = [&](size_t part, uint64_t offset, const std::byte* data, size_t bytes) {
      ggml_backend_tensor_set(&layer.weights[part]->clone, data, offset, bytes);
    };
    if (const auto ok = loader.load(std::move(job)); !ok) return ok;
  }
  return {};
}

// Beside a device of its own memory: what streams rests in host memory, as far as that goes.
Result<void> StreamModel::load_host_tier(Loader& loader) {
  if (inner_.host) return {};
  uint64_t budget = share(free_host_memory(), kAutoHostShare);
  if (options_.host_budget) {
    budget = (*options_.host_budget - Bytes{stats_.host_bytes}).n;  // what other models leave
  }
  for (const auto& group : groups_) {
    for (Weight* weight : group) {
      if (weight->place != Weight::Place::kStreamed || weight->source.file < 0) continue;
      const uint64_t taken = up(weight->bytes, kReadAlign) + kReadAlign;
      if (taken > budget) return {};
      auto buffer = inner_.allocate_pinned(weight->bytes);
      if (!buffer) return {};  // less than was hoped for; the disk serves the rest
      budget -= taken;
      std::vector<Part> parts = {part_of(*weight)};
      const Image image = lay_staged(parts, kReadAlign);
      std::byte* to = buffer->aligned();
      LoadJob job;
      job.parts = &parts;
      job.image = &image;
      job.name = "host tier";
      job.sink = [to](size_t, uint64_t offset, const std::byte* data, size_t bytes) {
        std::memcpy(to + offset, data, bytes);
      };
      if (const auto ok = loader.load(std::move(job)); !ok) return ok;
      hosted_[weight] = to;
      host_tier_.push_back(std::move(*buffer));
    }
  }
  return {};
}

std::vector<Piece> StreamModel::make_pieces(uint64_t ring) const {
  std::vector<Piece> pieces;
  const uint64_t wanted = inner_.host ? std::min(kPieceWanted, ring / 6) : ring / 6;
  uint64_t size = 0;  // of the last piece
  for (const auto& group : groups_) {
    uint64_t bytes = 0;
    for (const Weight* weight : group) {
      if (weight->place == Weight::Place::kStreamed) bytes += planned_bytes(inner_, *weight);
    }
    if (bytes == 0) continue;
    const uint32_t layer = group[0]->layer.value_or(layers_);
    if (pieces.empty() || pieces.back().layer != layer || size + bytes > wanted) {
      pieces.emplace_back();
      pieces.back().layer = layer;
      pieces.back().name = group[0]->tensor->name;
      size = 0;
    }
    size += bytes;
    for (Weight* weight : group) {
      weight->piece = pieces.size() - 1;
      if (weight->place != Weight::Place::kStreamed) continue;
      pieces.back().weights.push_back(weight);
      pieces.back().parts.push_back(part_of(*weight));
    }
  }
  for (Piece& piece : pieces) {
    piece.image = inner_.host ? lay_direct(piece.parts)
                              : lay_staged(piece.parts, inner_.alignment());
  }
  return pieces;
}

Result<void> StreamModel::build_ring(const Residency& residency) {
  if (residency.ring == 0) return {};
  auto pieces = make_pieces(residency.ring);
  if (pieces.empty()) return {};
  auto loader = Loader::make(loader_options(!inner_.host), inner_, files(), stats_, trace_);
  if (!loader) return fail(loader.error());
  std::strncpy(stats_.io, (*loader)->io(), sizeof stats_.io - 1);
  auto mover = Mover::make(inner_, std::move(pieces), residency.ring, std::move(*loader), stats_,
                           trace_);
  if (!mover) return fail(mover.error());
  mover_ = std::move(*mover);
  if (!inner_.host && !options_.exact) balance_.emplace();
  return {};
}

void StreamModel::rewrite(const Weight& weight, const std::function<void()>& change) {
  if (mover_ && weight.place == Weight::Place::kStreamed) {
    mover_->rewrite(weight.piece, change);
  } else {
    change();
  }
}

void StreamModel::write_back(size_t piece) {
  for (Weight* weight : mover_->pieces()[piece].weights) {
    if (!weight->store->is_cache()) continue;
    ggml_backend_tensor_get(&weight->clone, weight->tensor->data, 0, weight->bytes);
    stats_.copy_bytes += weight->bytes;
  }
}

const std::byte* StreamModel::host_bytes(const Weight& weight) const {
  const auto hosted = hosted_.find(&weight);
  if (hosted != hosted_.end()) return hosted->second;
  return weight.source.file < 0 ? weight.source.host : nullptr;
}

void StreamModel::publish(const Residency& residency) {
  Published& now = published_;
  for (const Layer& layer : residents_) now.resident += layer.buffer.bytes();
  if (!in_place_.empty()) now.resident = residency.resident_bytes;
  for (const auto& buffer : host_tier_) now.host += buffer.bytes();
  now.ring = mover_ ? mover_->ring_bytes() : 0;
  now.experts = banks_ ? banks_->bytes() : 0;
  now.layers = layers_;
  now.streamed.assign(kStatsLayersMax, 0);
  const auto add = [&](const Weight* weight) {
    if (weight->place != Weight::Place::kStreamed) return;
    now.streamed[std::min(weight->layer.value_or(layers_), kStatsLayersMax - 1)] += weight->bytes;
  };
  std::vector<bool> streams(kStatsLayersMax, false);
  for (const auto& group : groups_) std::for_each(group.begin(), group.end(), add);
  for (uint32_t i = 0; i < std::min(layers_, kStatsLayersMax); i++) {
    streams[i] = now.streamed[i] > 0;
  }
  for (const auto& bank : bank_groups_) {
    if (banks_) streams[std::min(bank[0]->layer.value_or(0), kStatsLayersMax - 1)] = true;
  }
  now.layers_streamed = static_cast<uint64_t>(std::count(streams.begin(), streams.end(), true));

  stats_.resident_bytes += now.resident;
  stats_.host_bytes += now.host;
  stats_.ring_bytes += now.ring;
  stats_.expert_cache_bytes += now.experts;
  stats_.layers += now.layers;
  stats_.layers_streamed += now.layers_streamed;
  stats_.budget_bytes = room().budget.value_or(0);
  for (size_t i = 0; i < kStatsLayersMax; i++) {
    stats_.per_layer[i].streamed_bytes += now.streamed[i];
  }
  std::strncpy(stats_.inner, ggml_backend_dev_name(inner_.device), sizeof stats_.inner - 1);
  GGML_LOG_INFO("gantry: on %s: resident %s, ring %s, experts %s, in host memory %s, the program's "
                "own %s\n",
                ggml_backend_dev_name(inner_.device), format_bytes({now.resident}).c_str(),
                format_bytes({now.ring}).c_str(), format_bytes({now.experts}).c_str(),
                format_bytes({now.host}).c_str(), format_bytes({kv_compute_}).c_str());
}

void StreamModel::withdraw() {
  stats_.resident_bytes -= published_.resident;
  stats_.host_bytes -= published_.host;
  stats_.ring_bytes -= published_.ring;
  stats_.expert_cache_bytes -= published_.experts;
  stats_.layers -= published_.layers;
  stats_.layers_streamed -= published_.layers_streamed;
  for (size_t i = 0; i < published_.streamed.size(); i++) {
    stats_.per_layer[i].streamed_bytes -= published_.streamed[i];
  }
  published_ = {};
}

void StreamModel::release_everything() {
  planned_ = false;
  withdraw();
  for (Store* store : stores_) {
    if (!store->is_cache()) continue;
    for (Weight& weight : store->weights()) {  // they live on in host memory
      if (weight.place != Weight::Place::kResident) continue;
      ggml_backend_tensor_get(&weight.clone, weight.tensor->data, 0, weight.bytes);
    }
  }
  mover_.reset();
  balance_.reset();
  banks_.reset();
  foreground_.reset();
  residents_.clear();
  in_place_.clear();
  hosted_.clear();
  host_tier_.clear();
  for (Store* store : stores_) {
    for (Weight& weight : store->weights()) {
      weight.place = Weight::Place::kUnplanned;
      weight.piece = SIZE_MAX;
      weight.bank = SIZE_MAX;
    }
  }
}

bool keeps_loaded_bytes(const Inner& inner, const StreamOptions& options, uint64_t bytes) {
  const uint64_t free = free_host_memory();
  if (!inner.host) {
    return bytes <= (options.host_budget ? options.host_budget->n : share(free, kAutoHostShare));
  }
  const bool by_bytes = options.preset == Preset::kAuto || options.preset == Preset::kWhole;
  if (!by_bytes || options.resident_layers || options.experts) return false;
  if (!options.device_budget) return bytes <= share(free, kAutoUtilisation);
  // The other half for KV cache and compute buffers, which nobody knows yet.
  return bytes <= std::min(free, options.device_budget->of({total_host_memory()}).n / 2);
}

StreamModel* ModelSet::model_of(const Inner& inner, const ggml_cgraph* graph) {
  const std::lock_guard lock(mutex_);
  StreamModel* model = nullptr;
  std::vector<Store*> strangers;
  const Store* last = nullptr;
  for (int i = 0; i < graph->n_nodes; i++) {
    for (const ggml_tensor* source : graph->nodes[i]->src) {
      const Weight* weight = weight_of(source, streamed_);
      if (weight == nullptr || weight->store == last) continue;
      last = weight->store;
      if (last->model != nullptr && model != nullptr && last->model != model) {
        for (Store* store : last->model->give_up()) strangers.push_back(store);
        std::erase_if(models_, [](const auto& other) { return other->empty(); });
      } else if (last->model != nullptr) {
        model = last->model;
      } else if (std::find(strangers.begin(), strangers.end(), last) == strangers.end()) {
        strangers.push_back(weight->store);
      }
    }
  }
  if (model == nullptr && strangers.empty()) return nullptr;
  if (model == nullptr) {
    models_.push_back(
        std::make_unique<StreamModel>(inner, options_, stats_, trace_, planning_, streamed_));
    model = models_.back().get();
  }
  if (strangers.empty()) return model;
  const std::lock_guard turn(model->turn());
  for (Store* store : strangers) model->add_store(store);
  return model;
}

bool ModelSet::leave(Store* store) {
  const std::lock_guard lock(mutex_);
  if (store->model == nullptr) return false;
  store->model->remove_store(store);  // which forgets the model
  std::erase_if(models_, [](const auto& model) { return model->empty(); });
  return models_.empty();
}

void ModelSet::forget(const void* owner) {
  const std::lock_guard lock(mutex_);
  for (const auto& model : models_) {
    const std::lock_guard turn(model->turn());
    model->forget(owner);
  }
}

}  // namespace gantry
