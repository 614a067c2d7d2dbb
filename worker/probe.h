// What devices ggml sees here, asked in a process of its own because drivers may crash or hang.
#pragma once

#include <string>

namespace gantry {

// {"devices":[{"backend","description","kind","total_bytes","free_bytes"}]}; kinds are "cpu",
// "gpu", "integrated_gpu", "accelerator". Backends that do not load are absent.
std::string probe_devices(const std::string& engine_dir);

}  // namespace gantry
