// One rate to another: linear phase, its delay taken out, so that lengths stay. By libsoxr.
#pragma once

#include <soxr.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <type_traits>
#include <vector>

#include "base/result.h"

namespace gantry {

// One thread at a time; constant memory.
class Resampler {
 public:
  // Gets what was made, in order; its Error ends the call that made it.
  using Sink = std::function<Result<void>(std::span<const float>)>;

  // Hz; nothing is changed where both are the same.
  Resampler(uint32_t from, uint32_t to);
  // Mono. kIo: no memory.
  [[nodiscard]] Result<void> put(std::span<const float> samples, const Sink& sink);
  // What is still inside; nothing may be put afterwards.
  [[nodiscard]] Result<void> finish(const Sink& sink);

 private:
  [[nodiscard]] Result<void> failed() const;

  soxr_error_t error_ = nullptr;
  std::unique_ptr<std::remove_pointer_t<soxr_t>, void (*)(soxr_t)> soxr_{nullptr, &soxr_delete};
  std::vector<float> block_;
};

}  // namespace gantry
