// One model that streams: its plan, its bytes on the device, and what keeps them moving.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "stream/bank.h"
#include "stream/graph.h"
#include "stream/hybrid.h"
#include "stream/inner.h"
#include "stream/mover.h"
#include "stream/options.h"
#include "stream/residency.h"
#include "stream/stats.h"
#include "stream/store.h"
#include "stream/trace.h"

namespace gantry {

// Planned when the first graph is computed: then the order of use is known, and the KV cache and
// compute buffers can be counted. Planned anew, from nothing, when a graph uses weights that none
// used before, and when memory runs short.
class StreamModel {
 public:
  // `planning` is held by one model at a time, so that two never count on the same free bytes.
  StreamModel(const Inner& inner, const StreamOptions& options, StatsPage& stats, Trace& trace,
              std::mutex& planning, ggml_backend_buffer_type_t streamed);
  ~StreamModel();
  StreamModel(const StreamModel&) = delete;

  void add_store(Store* store);
  // Everything on the device goes; what the other stores have is planned anew when it is wanted.
  void remove_store(Store* store);
  bool empty() const { return stores_.empty(); }
  // To another model, which shares a graph with this one.
  std::vector<Store*> give_up();

  // Held by one graph at a time: contexts of one model take turns.
  std::mutex& turn() { return turn_; }

  // Under turn(): every weight of the graph is placed afterwards, and the program's buffers are
  // counted. `owner` stands for the context; forget() it when it goes.
  [[nodiscard]] Result<void> prepare(const ggml_cgraph* graph, const void* owner);
  void forget(const void* owner);
  // The device ran out of memory while computing: plans again with less. False: nothing is left.
  bool shrink();

  // Changes a cache's bytes in host memory, and makes what was copied from there void.
  void rewrite(const Weight& weight, const std::function<void()>& change);
  // What was computed into the caches of a piece goes back to host memory.
  void write_back(size_t piece);
  // Where a streamed weight's bytes rest in host memory; null: on disk.
  const std::byte* host_bytes(const Weight& weight) const;
  // Null where small batches are not shared with the CPU.
  Balance* balance() { return balance_ ? &*balance_ : nullptr; }
  Mover* mover() { return mover_.get(); }
  ExpertBanks* banks() { return banks_.get(); }
  StatsPage& stats() { return stats_; }
  Trace& trace() { return trace_; }
 private:
  struct Layer {  // resident weights of one layer; or small ones, of all layers
    std::vector<Weight*> weights;
    std::vector<Part> parts;
    Image image;
    DeviceBuffer buffer;
  };
  bool note_buffers(const GraphFacts& facts, const void* owner);
  bool note_order(const GraphFacts& facts);
  [[nodiscard]] Result<void> plan();
  bool kept_in_memory() const;
  Residency hold_everything() const;
  // How much the model may hold, now.
  struct Room;
  Room room() const;
  ResidencyAsk ask(const Room& room);
  [[nodiscard]] Result<void> build(const Residency& residency);
  [[nodiscard]] Result<void> build_in_place();
  [[nodiscard]] Result<void> load_residents(Loader& loader);
  [[nodiscard]] Result<void> load_host_tier(Loader& loader);
  [[nodiscard]] Result<void> build_ring(const Residency& residency);
  std::vector<Piece> make_pieces(uint64_t ring) const;
  void release_everything();
  void publish(const Residency& residency);
  Part part_of(const Weight& weight) const;
  std::vector<const DirectFile*> files() const;
  Loader::Options loader_options(bool staged) const;
  const Inner& inner_;
  const StreamOptions& options_;
  StatsPage& stats_;
  Trace& trace_;
  std::mutex& planning_;
  ggml_backend_buffer_type_t streamed_;
  std::mutex turn_;
  std::vector<Store*> stores_;
  // What graphs have told so far.
  std::vector<WeightGroup> groups_;
  std::vector<WeightGroup> bank_groups_;
  WeightGroup small_;
  uint32_t layers_ = 0;
  struct SeenBuffer {
    uint64_t bytes = 0;
    bool computes = false;  // activations; else a cache
  };
  std::unordered_map<const void*, std::unordered_map<ggml_backend_buffer_t, SeenBuffer>> buffers_;
  uint64_t kv_compute_ = 0;
  // What this model added to the statistics page, which is all models'.
  struct Published {
    uint64_t resident = 0, ring = 0, experts = 0, host = 0, layers = 0, layers_streamed = 0;
    std::vector<uint64_t> streamed;  // by layer
  };
  void withdraw();
  Published published_;
  bool planned_ = false;
  uint64_t most_ = UINT64_MAX;  // bytes on the device, since memory ran short
  uint64_t staging_ = 0;    // bytes of all staging buffers
  std::vector<Layer> residents_;
  std::vector<DeviceBuffer> in_place_;
  std::vector<DeviceBuffer> host_tier_;
  std::unordered_map<const Weight*, const std::byte*> hosted_;
  std::unique_ptr<Loader> foreground_;  // experts
  std::unique_ptr<Mover> mover_;
  std::unique_ptr<ExpertBanks> banks_;
  std::optional<Balance> balance_;
};

// Whether bytes that a loader reads tensor by tensor may stay in memory.
bool keeps_loaded_bytes(const Inner& inner, const StreamOptions& options, uint64_t bytes);

// All models of the process. Stores whose weights meet in one graph are one model: a file in
// several parts, and adapters beside the model they adapt.
class ModelSet {
 public:
  ModelSet(const StreamOptions& options, StatsPage& stats, Trace& trace,
           ggml_backend_buffer_type_t streamed)
      : options_(options), stats_(stats), trace_(trace), streamed_(streamed) {}

  // The model of the graph's weights; null: it has none of ours.
  StreamModel* model_of(const Inner& inner, const ggml_cgraph* graph);
  // True: no model is left.
  bool leave(Store* store);
  // The program's context is over.
  void forget(const void* owner);

 private:
  const StreamOptions& options_;
  StatsPage& stats_;
  Trace& trace_;
  ggml_backend_buffer_type_t streamed_;
  std::mutex planning_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<StreamModel>> models_;
};

}  // namespace gantry
