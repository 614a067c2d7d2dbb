// Asks every loaded ggml backend for its devices.
#include "worker/probe.h"

#include <ggml-backend.h>

#include <nlohmann/json.hpp>

#include "worker/ggml_backends.h"

namespace gantry {

namespace {

const char* kind_name(enum ggml_backend_dev_type type) {
  switch (type) {
    case GGML_BACKEND_DEVICE_TYPE_CPU:
      return "cpu";
    case GGML_BACKEND_DEVICE_TYPE_GPU:
      return "gpu";
    case GGML_BACKEND_DEVICE_TYPE_IGPU:
      return "integrated_gpu";
    default:
      return "accelerator";
  }
}

const char* or_empty(const char* text) { return text == nullptr ? "" : text; }

}  // namespace

std::string probe_devices(const std::string& engine_dir) {
  log_engines_to_stderr();
  load_all_backends(engine_dir);
  nlohmann::json devices = nlohmann::json::array();
  for (size_t i = 0; i < ggml_backend_dev_count(); ++i) {
    ggml_backend_dev_t device = ggml_backend_dev_get(i);
    size_t free = 0, total = 0;
    ggml_backend_dev_memory(device, &free, &total);
    devices.push_back({{"backend", or_empty(ggml_backend_dev_name(device))},
                       {"description", or_empty(ggml_backend_dev_description(device))},
                       {"kind", kind_name(ggml_backend_dev_type(device))},
                       {"total_bytes", total},
                       {"free_bytes", free}});
  }
  return nlohmann::json{{"devices", devices}}.dump(-1, ' ', false,
                                                   nlohmann::json::error_handler_t::replace);
}

}  // namespace gantry
