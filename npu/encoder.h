// A text encoder on the first device of a chain that computes it: token rows in, one vector a row
// out. A device that fails while it computes is left for the next one, and tried again later.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "npu/core.h"
#include "npu/pooling.h"
#include "npu/tokenizer.h"

namespace gantry {

// How long a device that failed is left alone.
constexpr Millis kDeviceRest{60'000};

struct EncoderOptions {
  std::vector<std::string> chain;
  bool fixed_on_cpu = false;  // static shapes there too; elsewhere they always are
  Pooling pooling = Pooling::kMean;
  bool normalize = true;
  // Fault injection: true makes a computation on that device fail. Unset in use.
  std::function<bool(const std::string& device)> faulty;
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

  const std::string& device() const { return device_; }  // that answered last, or will
  bool fixed() const;                                    // static shapes there
  const std::vector<OvRefusal>& refused() const { return refused_; }

 private:
  struct Compiled {
    std::string device;
    ov::CompiledModel model;
    ov::InferRequest request;
  };
  Encoder(OvCore& core, const Clock& clock, std::shared_ptr<ov::Model> model,
          EncoderOptions options)
      : core_(core), clock_(clock), model_(std::move(model)), options_(std::move(options)) {}

  [[nodiscard]] Result<void> look_at_outputs();
  [[nodiscard]] Result<Compiled*> compiled(size_t rows, uint32_t bucket);
  [[nodiscard]] Result<Compiled> compile(const std::string& device, size_t rows, uint32_t bucket);
  [[nodiscard]] Result<std::vector<std::vector<float>>> compute(
      Compiled& on, std::span<const Tokens* const> texts, size_t rows, uint32_t bucket);
  bool fixed_on(const std::string& device) const;
  void leave(const std::string& device, const std::string& cause);

  OvCore& core_;
  const Clock& clock_;
  std::shared_ptr<ov::Model> model_;
  EncoderOptions options_;
  size_t width_ = 0;
  size_t output_ = 0;
  std::string device_;
  size_t first_ = 0;       // of the chain: those before it are resting
  Millis rest_until_{0};
  std::vector<OvRefusal> refused_;
  std::map<std::pair<size_t, uint32_t>, Compiled> shapes_;  // (0, 0): any shape
};

}  // namespace gantry
