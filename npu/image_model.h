// A picture model at work: one line of pictures of all callers, batches out of it, the graph on the
// chain of devices.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/os.h"
#include "npu/batch_line.h"
#include "npu/device_chain.h"
#include "npu/image_folder.h"
#include "npu/limits.h"

namespace gantry {

struct ImageOptions : ChainOptions {
  std::string name, dir;  // a folder that is_image_folder()
  uint32_t queue_max = kImageQueueMax;
};

struct ImageStatus {
  std::string name, device;
  std::vector<OvRefusal> refused;
  bool classifies = false, fixed = false;
  ImageSize size;    // of what the graph sees
  size_t width = 0;  // of a vector, or how many classes
  size_t queued = 0;
  uint64_t pictures = 0, batches = 0;  // since the start
};

// One class and how likely it is.
struct ImageClass {
  uint32_t index = 0;
  std::string label;
  float score = 0;  // 0..1, all of them together 1
};

// Any thread.
class ImageModel {
  struct Private {};  // open() alone makes one

 public:
  // kUnsupported: no graph of one picture of one size to one vector; kCorrupt: folder and graph
  // disagree.
  [[nodiscard]] static Result<std::unique_ptr<ImageModel>> open(Os& os, OvCore& core,
                                                                const Clock& clock,
                                                                const ImageOptions& options);
  explicit ImageModel(Private) {}

  // Pixels to the graph's input. kUsage: a picture of a form that the steps cannot take.
  [[nodiscard]] Result<std::vector<float>> prepare(const PixelView& picture) const;
  // One vector for each input of prepare(): of length one, or the classes' scores. kBusy: the line
  // is full; kCancelled: `gone` became true.
  [[nodiscard]] Result<std::vector<std::vector<float>>> run(
      std::vector<std::vector<float>> inputs, const std::atomic<bool>& gone);
  // The `top` likeliest of such scores, the first one first.
  std::vector<ImageClass> classes(const std::vector<float>& scores, size_t top) const;
  ImageStatus status() const;

 private:
  struct Item {
    std::vector<float> input;
    std::vector<float>* out = nullptr;
  };

  [[nodiscard]] Result<void> load(Os& os, OvCore& core, const Clock& clock,
                                  const ImageOptions& options);
  [[nodiscard]] Result<void> look_at_input(const ov::Model& model);
  [[nodiscard]] Result<void> look_at_outputs(const ov::Model& model);
  void give_shape(ov::Model& model, DeviceChain::Shape shape) const;
  [[nodiscard]] Result<void> compute(std::span<Item> batch);
  void fill(std::span<const Item> batch, float* out) const;
  std::vector<float> finished(const float* values, size_t positions) const;
  size_t rows_of(size_t pictures) const;

  ImageOptions options_;
  ImageFolder folder_;
  bool channels_last_ = false;
  uint32_t rows_fixed_ = 0;  // of a graph whose batch is static; 0: any
  ImageSize size_;           // of what it sees
  size_t output_ = 0, width_ = 0;
  bool positions_last_ = false;  // of states: (batch, width, ...), otherwise (batch, n, width)
  std::unique_ptr<DeviceChain> chain_;  // of the line's thread, once that runs
  mutable std::mutex mutex_;
  ImageStatus status_;
  std::unique_ptr<BatchLine<Item>> line_;  // last: its thread uses all the others
};

}  // namespace gantry
