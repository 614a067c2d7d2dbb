// OpenVINO behind Results: which devices are really there, and a model compiled on the first of a
// chain that takes it. What OpenVINO throws ends here.
#pragma once

#include <exception>
#include <memory>
#include <openvino/openvino.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/os.h"
#include "base/result.h"

namespace gantry {

// The chain that is taken when nobody says another.
constexpr std::string_view kOvChain = "npu,gpu,cpu";

struct OvDevice {
  std::string name;       // OpenVINO's: "CPU", "NPU", "GPU.0"
  std::string full_name;  // "Intel(R) AI Boost"
  std::string driver;     // its version, empty where the plugin does not tell
};

struct OvOptions {
  std::string cache_dir;   // compiled blobs, a private folder made when missing; empty: none kept
  std::string extension;   // a library with more operations (openvino-tokenizers); empty: none
  uint32_t threads = 0;    // of the CPU device; 0: OpenVINO's choice
};

// A device that was asked before the one that answers, and why it does not.
struct OvRefusal {
  std::string device, cause;
};

struct OvCompiled {
  ov::CompiledModel model;
  std::string device;              // the one that computes, as the compiled model itself says
  std::vector<OvRefusal> refused;  // in the chain's order
};

// What an exception of OpenVINO says, on one line.
std::string ov_cause(const std::exception& error);

// Runs `work` and turns what it throws into kWorkerFailed: "DOING: cause".
template <class Work>
[[nodiscard]] auto ov_call(std::string_view doing, Work&& work) -> Result<decltype(work())> {
  try {
    if constexpr (std::is_void_v<decltype(work())>) {
      work();
      return {};
    } else {
      return work();
    }
  } catch (const std::exception& error) {
    return fail(Code::kWorkerFailed, std::string(doing) + ": " + ov_cause(error));
  }
}

// "npu,gpu,cpu" to OpenVINO's words, each of them once. kUsage for other words.
[[nodiscard]] Result<std::vector<std::string>> parse_ov_chain(std::string_view text);

// Any thread. Outlives what it compiled.
class OvCore {
 public:
  // kUnavailable: OpenVINO or the extension does not load.
  [[nodiscard]] static Result<std::unique_ptr<OvCore>> open(Os& os, const OvOptions& options);

  const std::vector<OvDevice>& devices() const { return devices_; }
  // The device of that kind, null where the machine has none; "GPU" is the first one.
  const OvDevice* find(std::string_view name) const;
  std::string version() const;

  // IR (its .bin beside it) or ONNX; a file that nobody vouches for: kCorrupt.
  [[nodiscard]] Result<std::shared_ptr<ov::Model>> read(const std::string& file);

  // On the first of the chain that takes it. NPUs want static shapes: that is the caller's part.
  // `more` goes over the properties that each device gets anyway.
  // kUnavailable with every device's cause when none does.
  [[nodiscard]] Result<OvCompiled> compile(const std::shared_ptr<ov::Model>& model,
                                           const std::vector<std::string>& chain,
                                           const ov::AnyMap& more = {});
  // On that one alone. kUnavailable: there is none; kWorkerFailed: it does not take the model.
  [[nodiscard]] Result<OvCompiled> compile_on(const std::shared_ptr<ov::Model>& model,
                                              std::string_view kind,
                                              const ov::AnyMap& more = {});

 private:
  explicit OvCore(OvOptions options) : options_(std::move(options)) {}
  ov::AnyMap properties_of(std::string_view device) const;

  const OvOptions options_;
  ov::Core core_;
  std::vector<OvDevice> devices_;
};

}  // namespace gantry
