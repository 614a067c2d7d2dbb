// The NPU worker's HTTP: /health, /metrics, /embeddings, /inference, and /v1 shapes of the same.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/log.h"
#include "http/http.h"
#include "npu/embed.h"
#include "npu/language.h"
#include "npu/limits.h"
#include "serve/guard.h"

namespace gantry {

struct NpuModels {
  std::vector<std::unique_ptr<EmbedModel>> embedders;
  std::vector<std::unique_ptr<LanguageModel>> languages;
};

struct NpuServiceOptions {
  http::Address listen{.host = "127.0.0.1", .port = kNpuPort};
  GuardOptions guard;
  std::vector<OvDevice> devices;  // as OpenVINO lists them
  std::string version, openvino;
};

class NpuService {
 public:
  virtual ~NpuService() = default;  // stops
  virtual http::Address address() const = 0;
  virtual void stop() = 0;
};

// All outlive the service. kUsage: an address off loopback without a key; kBusy: it is taken.
[[nodiscard]] Result<std::unique_ptr<NpuService>> serve_npu(const NpuServiceOptions& options,
                                                            NpuModels& models, Os& os, Log& log);

}  // namespace gantry
