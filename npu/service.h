// The NPU worker's HTTP: /health, /metrics, /embeddings, /inference, /transcribe, /images and
// /v1 shapes of the same.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/log.h"
#include "http/http.h"
#include "npu/ear.h"
#include "npu/embed.h"
#include "npu/image_model.h"
#include "npu/language.h"
#include "npu/limits.h"
#include "serve/guard.h"
#include "serve/spool.h"

namespace gantry {

struct NpuModels {
  std::vector<std::unique_ptr<EmbedModel>> embedders;
  std::vector<std::unique_ptr<LanguageModel>> languages;
  std::vector<std::unique_ptr<EarModel>> ears;
  std::vector<std::unique_ptr<ImageModel>> eyes;
};

struct NpuServiceOptions {
  http::Address listen{.host = "127.0.0.1", .port = kNpuPort};
  std::string socket;  // a unix socket besides, for who started us; empty: none
  GuardOptions guard;
  std::vector<OvDevice> devices;  // as OpenVINO lists them
  std::string version, openvino;
  std::string spool_dir;  // ours alone: uploads lie there while in use
  Decode decode;          // of recordings, in a process of their own
  Decode picture;         // of pictures, likewise: to a PPM
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
