// What devices drivers and engines see here, asked in a process of its own because drivers may
// crash or hang.
#pragma once

#include <functional>
#include <string>

namespace gantry {

struct ProbeOptions {
  std::string engine_dir;
  std::string nvml = "libnvidia-ml.so.1";
};

// Gives three lines of JSON to `emit`, each as soon as it is known, so that a driver that hangs
// does not cost what was known before: nvidia_cards(), then
// {"devices":[{"backend","description","kind","bus","total_bytes","free_bytes"}],"backends"} of
// ggml with kinds "cpu", "gpu", "integrated_gpu", "accelerator", then openvino_devices(). False as
// soon as emit is false.
bool probe_devices(const ProbeOptions& options,
                   const std::function<bool(const std::string& line)>& emit);

// The same to a file descriptor; the exit status.
int probe_to(int out, const ProbeOptions& options);

}  // namespace gantry
