// Matrix products on the CPU, from where the weights rest in host memory, while the device's link
// brings others.
#pragma once

#include <memory>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "ggml-backend.h"
#include "ggml.h"
#include "stream/inner.h"

namespace gantry {

// One thread at a time.
class CpuSide {
 public:
  [[nodiscard]] static Result<std::unique_ptr<CpuSide>> make(int threads);
  ~CpuSide();
  CpuSide(const CpuSide&) = delete;

  // node = MUL_MAT(weight, input), input and node contiguous F32 in the memory of a device that has
  // computed the input. `bytes`: the weight's, in host memory. Afterwards the node's data is there.
  [[nodiscard]] Result<void> product(ggml_tensor* node, const std::byte* bytes);

 private:
  explicit CpuSide(ggml_backend_t backend) : backend_(backend) {}
  [[nodiscard]] Result<void> room(uint64_t input, uint64_t output);
  ggml_backend_buffer_t wrap(const std::byte* bytes, uint64_t size);

  ggml_backend_t backend_;
  DeviceBuffer scratch_;  // input, output
  std::unordered_map<const std::byte*, DeviceBuffer> weights_;
  std::vector<std::byte> arena_;  // of ggml's graph of one node
};

}  // namespace gantry
