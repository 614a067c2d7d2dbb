// Where the weights of one buffer of the loader's rest: in a file behind its mapping, in a file
// that was recognised while it was read, or in memory of our own.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "ggml.h"
#include "stream/layout.h"
#include "stream/reader.h"

namespace gantry {

class StreamModel;

class Store;

// One weight of a model: the loader's tensor, and what is known of it. Addresses are stable.
struct Weight {
  Store* store = nullptr;
  ggml_tensor* tensor = nullptr;  // the loader's own; never written
  Source source;                  // file: an index into the store's files
  uint64_t bytes = 0;
  std::optional<uint32_t> layer;  // by its name

  // Decided by the plan.
  enum class Place : uint8_t { kUnplanned, kResident, kStreamed, kExpert };
  Place place = Place::kUnplanned;
  size_t piece = SIZE_MAX;  // streamed, or resident and used together with streamed ones
  size_t bank = SIZE_MAX;   // experts: their bank
  ggml_tensor clone = {};   // shown to the inner device
};

class Store {
 public:
  // The loader mapped a file: [base, base + size) is a part of it. Without a readable file behind
  // it, the mapping itself is the source.
  static std::unique_ptr<Store> mapped(std::byte* base, uint64_t size);
  // The loader reads by itself and hands over tensor by tensor. keep: the bytes stay in memory,
  // else only those do that are found in no open file. kDoesNotFit.
  [[nodiscard]] static Result<std::unique_ptr<Store>> filled(uint64_t size, bool keep);
  [[nodiscard]] static Result<std::unique_ptr<Store>> cache(uint64_t size);
  ~Store();

  std::byte* base() const { return base_; }
  uint64_t size() const { return size_; }
  bool is_mapped() const { return mapped_; }
  // KV cache: what is computed with it is written back, and it may be read and written at any time
  // between two graphs.
  bool is_cache() const { return cache_; }
  void clear();
  // Every weight's bytes are at its tensor's address.
  bool in_memory() const;
  const std::vector<DirectFile>& files() const { return files_; }
  std::deque<Weight>& weights() { return weights_; }

  void add(ggml_tensor* tensor);
  void write(const ggml_tensor* tensor, const void* data, uint64_t offset, uint64_t bytes);
  void read(const ggml_tensor* tensor, void* data, uint64_t offset, uint64_t bytes);
  Weight* find(const ggml_tensor* tensor);

  // The mapping's pages of our weights go back to the system: they are read by us from now on.
  void drop_mapping() const;

  StreamModel* model = nullptr;  // set by the first graph that uses its weights

 private:
  Store() = default;
  struct FileIndex;
  Weight* behind(const ggml_tensor* tensor, uint64_t& offset);
  std::unique_lock<std::mutex> cache_turn() const;
  void read_source(const Weight& weight, void* data, uint64_t offset, uint64_t bytes) const;
  const FileIndex* index_of_open_file(const std::string& name, uint64_t bytes);
  bool recognise(Weight& weight, const void* data);

  std::byte* base_ = nullptr;
  uint64_t size_ = 0;
  bool mapped_ = false;
  bool keep_ = false;
  bool cache_ = false;
  uint64_t file_base_ = 0;  // of base_ in files_[0]
  std::vector<DirectFile> files_;
  std::deque<Weight> weights_;
  std::unordered_map<const ggml_tensor*, Weight*> by_tensor_;
  std::vector<std::unique_ptr<FileIndex>> indexes_;
};

// N of "blk.N." or "cache_k_lN" in a tensor's name.
std::optional<uint32_t> layer_of(const std::string& name);

}  // namespace gantry
