// NPUs as OpenVINO sees them, through its C library found at run time.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace gantry {

// {"openvino":[{"backend","description","kind","total_bytes","free_bytes"}]}; empty where none of
// the libraries loads. Its CPU and GPU are left out: the first is the host, the second is ggml's.
nlohmann::json openvino_devices(const std::vector<std::string>& libraries);

// Where OpenVINO's C library is looked for: beside the engines, in Intel's own installation, and
// where the dynamic linker looks.
std::vector<std::string> openvino_libraries(const std::string& engine_dir);

}  // namespace gantry
