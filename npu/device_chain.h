// A graph on the first device of a chain that computes it. A device that fails while it computes is
// left for the next one, and tried again later.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "npu/core.h"

namespace gantry {

// How long a device that failed is left alone.
constexpr Millis kDeviceRest{60'000};

struct ChainOptions {
  std::vector<std::string> chain;
  bool fixed_on_cpu = false;  // static shapes there too; elsewhere they always are
  // Fault injection: true makes a computation on that device fail. Unset in use.
  std::function<bool(const std::string& device)> faulty;
};

// One thread at a time.
class DeviceChain {
 public:
  struct Compiled {
    std::string device;
    ov::CompiledModel model;
    ov::InferRequest request;
  };
  using Shape = std::pair<size_t, uint32_t>;  // rows, and what else the graph's user counts
  // Gives a copy of the model static shapes; OpenVINO's exceptions may come out of it.
  using Reshape = std::function<void(ov::Model& model, Shape shape)>;

  // `core` and `clock` outlive it.
  DeviceChain(OvCore& core, const Clock& clock, std::shared_ptr<ov::Model> model, Reshape reshape,
              ChainOptions options)
      : core_(core),
        clock_(clock),
        model_(std::move(model)),
        reshape_(std::move(reshape)),
        options_(std::move(options)) {}

  // Compiles now what a computation of that shape needs.
  [[nodiscard]] Result<void> prepare(Shape shape);
  // Until a device has done it. kUnavailable: none is left.
  template <class T>
  [[nodiscard]] Result<T> run(Shape shape, const std::function<Result<T>(Compiled& on)>& compute) {
    while (true) {
      const Result<Compiled*> on = compiled(shape);
      if (!on) return fail(on.error());
      const std::string device = (*on)->device;
      const bool injected = options_.faulty && options_.faulty(options_.chain[first_]);
      Result<T> out =
          injected ? fail(Code::kWorkerFailed, "a fault was injected") : compute(**on);
      if (out) return out;
      leave(device, out.error().message);
    }
  }

  const std::string& device() const { return device_; }  // that answered last, or will
  bool fixed() const { return fixed_on(device_); }        // static shapes there
  bool fixed_on(const std::string& device) const {
    return device != "CPU" || options_.fixed_on_cpu;
  }
  const std::vector<OvRefusal>& refused() const { return refused_; }

 private:
  [[nodiscard]] Result<Compiled*> compiled(Shape shape);
  [[nodiscard]] Result<Compiled> compile(const std::string& device, Shape shape);
  void leave(const std::string& device, const std::string& cause);

  OvCore& core_;
  const Clock& clock_;
  std::shared_ptr<ov::Model> model_;
  Reshape reshape_;
  ChainOptions options_;
  std::string device_;
  size_t first_ = 0;  // of the chain: those before it are resting
  Millis rest_until_{0};
  std::vector<OvRefusal> refused_;
  std::map<Shape, Compiled> shapes_;  // (0, 0): any shape
};

}  // namespace gantry
