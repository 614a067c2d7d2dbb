// A text encoder on a chain of devices: token rows in, one vector a row out.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "npu/device_chain.h"
#include "npu/pooling.h"
#include "npu/tokenizer.h"

namespace gantry {

struct EncoderOptions : ChainOptions {
  Pooling pooling = Pooling::kMean;
  bool normalize = true;
};

// One thread at a time.
class Encoder {
 public:
  // `model`: i64 input_ids and attention_mask (token_type_ids, position_ids if it wants them) to
  // f32 (batch, tokens, width). kUnsupported otherwise. `core` and `clock` outlive it.
  [[nodiscard]] static Result<std::unique_ptr<Encoder>> open(OvCore& core, const Clock& clock,
                                                             std::shared_ptr<ov::Model> model,
                                                             EncoderOptions options);

  size_t width() const { return width_; }
  // Compiles now what a computation of that shape needs.
  [[nodiscard]] Result<void> prepare(size_t rows, uint32_t bucket);
  // Each text has 1 to `bucket` tokens, and there are at most `rows` of them; with static shapes
  // the rest is padding.
  [[nodiscard]] Result<std::vector<std::vector<float>>> run(std::span<const Tokens* const> texts,
                                                            size_t rows, uint32_t bucket);

  const std::string& device() const { return chain_.device(); }  // that answered last, or will
  bool fixed() const { return chain_.fixed(); }                  // static shapes there
  const std::vector<OvRefusal>& refused() const { return chain_.refused(); }

 private:
  Encoder(OvCore& core, const Clock& clock, std::shared_ptr<ov::Model> model,
          EncoderOptions options);

  [[nodiscard]] Result<void> look_at_outputs(const ov::Model& model);
  [[nodiscard]] Result<std::vector<std::vector<float>>> compute(
      DeviceChain::Compiled& on, std::span<const Tokens* const> texts, size_t rows,
      uint32_t bucket);

  const EncoderOptions options_;
  DeviceChain chain_;
  size_t width_ = 0;
  size_t output_ = 0;
};

}  // namespace gantry
