// An embedding model at work: tokenizer, encoder, and one line of texts out of which batches of one
// length are taken, whoever they come from.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "base/os.h"
#include "npu/batch_line.h"
#include "npu/encoder.h"
#include "npu/limits.h"

namespace gantry {

struct EmbedOptions {
  std::string name;
  std::string path;  // a GGUF file, or a folder with openvino_model.xml
  std::vector<std::string> chain;
  bool fixed_on_cpu = false;
  std::vector<uint32_t> buckets;  // ascending; empty: default_buckets()
  uint32_t rows = kEmbedRows;
  uint32_t queue_max = kEmbedQueueMax;
  std::function<bool(const std::string& device)> faulty;  // see EncoderOptions
};

struct Embedding {
  std::vector<float> values;
  uint32_t tokens = 0;
  bool truncated = false;
};

struct EmbedStatus {
  std::string name, device;
  std::vector<OvRefusal> refused;
  Pooling pooling = Pooling::kMean;
  bool normalize = true, fixed = false;
  uint32_t tokens_max = 0;
  size_t width = 0;
  size_t queued = 0;
  uint64_t texts = 0, tokens = 0, padded = 0, batches = 0;  // since the start; padded: all slots
};

// Any thread.
class EmbedModel {
  struct Private {};  // open() alone makes one

 public:
  [[nodiscard]] static Result<std::unique_ptr<EmbedModel>> open(Os& os, OvCore& core,
                                                                const Clock& clock,
                                                                const EmbedOptions& options);
  explicit EmbedModel(Private) {}
  EmbedModel(const EmbedModel&) = delete;
  EmbedModel& operator=(const EmbedModel&) = delete;

  // Waits for its turn. kBusy: the line is full; kCancelled: `gone` became true.
  [[nodiscard]] Result<std::vector<Embedding>> embed(std::span<const std::string> texts,
                                                     const std::atomic<bool>& gone);
  EmbedStatus status() const;

 private:
  struct Item {
    Tokens tokens;
    uint32_t bucket = 0;
    Embedding* out = nullptr;
  };

  [[nodiscard]] Result<void> load(Os& os, OvCore& core, const Clock& clock,
                                  const EmbedOptions& options);
  [[nodiscard]] Result<std::vector<Item>> cut(std::span<const std::string> texts,
                                              std::vector<Embedding>* out);
  BatchRules<Item> rules();
  [[nodiscard]] Result<void> compute(std::span<Item> batch);
  void note(size_t computed_rows, std::span<const Item> batch);

  EmbedOptions options_;
  uint32_t tokens_max_ = 0;
  std::unique_ptr<TextTokenizer> tokenizer_;
  std::unique_ptr<Encoder> encoder_;  // of the line's thread, once that runs
  mutable std::mutex mutex_;
  EmbedStatus status_;
  std::unique_ptr<BatchLine<Item>> line_;  // last: its thread uses all the others
};

}  // namespace gantry
