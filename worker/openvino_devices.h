// NPUs as OpenVINO sees them, through its C library found at run time.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace gantry {

// {"openvino":[{"backend","description","kind","total_bytes","free_bytes"}]}; empty where none of
// the libraries loads. Its CPU and GPU are left out: the first is the host, the second is ggml's.
nlohmann::json openvino_devices(const std::vector<std::string>& libraries);

// OpenVINO's C library as it is found, whatever its version: beside the engines, in Intel's own
// installation (INTEL_OPENVINO_DIR), among the system's libraries; then where the linker looks.
std::vector<std::string> openvino_libraries(const std::string& engine_dir);

}  // namespace gantry
