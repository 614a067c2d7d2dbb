// Asks NVIDIA's driver, every loaded ggml backend and OpenVINO for their devices.
#include "worker/probe.h"

#include <ggml-backend.h>
#include <unistd.h>

#include <cerrno>
#include <nlohmann/json.hpp>

#include "worker/ggml_backends.h"
#include "worker/nvml.h"
#include "worker/openvino_devices.h"

namespace gantry {

namespace {

using nlohmann::json;

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

json ggml_devices(const std::string& engine_dir) {
  log_engines_to_stderr();
  load_all_backends(engine_dir);
  json devices = json::array();
  for (size_t i = 0; i < ggml_backend_dev_count(); ++i) {
    ggml_backend_dev_props props{};
    ggml_backend_dev_get_props(ggml_backend_dev_get(i), &props);
    devices.push_back({{"backend", or_empty(props.name)},
                       {"description", or_empty(props.description)},
                       {"kind", kind_name(props.type)},
                       {"bus", or_empty(props.device_id)},
                       {"total_bytes", props.memory_total},
                       {"free_bytes", props.memory_free}});
  }
  std::string backends;
  for (size_t i = 0; i < ggml_backend_reg_count(); ++i) {
    const std::string name = or_empty(ggml_backend_reg_name(ggml_backend_reg_get(i)));
    if (name == "RPC") continue;  // that drives other machines' cards
    backends += (backends.empty() ? "" : ", ") + name;
  }
  return {{"devices", devices}, {"backends", backends}};
}

}  // namespace

bool probe_devices(const ProbeOptions& options,
                   const std::function<bool(const std::string& line)>& emit) {
  const auto line = [&](const json& part) {
    return emit(part.dump(-1, ' ', false, json::error_handler_t::replace));
  };
  // NVML before ggml: asking ggml for memory makes a context, which takes some.
  return line(nvidia_cards(options.nvml)) && line(ggml_devices(options.engine_dir)) &&
         line(openvino_devices(openvino_libraries(options.engine_dir)));
}

int probe_to(int out, const ProbeOptions& options) {
  const bool whole = probe_devices(options, [out](std::string line) {
    line += '\n';
    for (size_t at = 0; at < line.size();) {
      const ssize_t n = ::write(out, line.data() + at, line.size() - at);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return false;
      at += static_cast<size_t>(n);
    }
    return true;
  });
  return whole ? 0 : 1;
}

}  // namespace gantry
