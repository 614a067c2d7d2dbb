// `npu_worker:`, the NPU worker that the daemon keeps running.
#pragma once

#include <span>

#include "base/os.h"
#include "config/keys.h"

namespace gantry {

// The name and the kind of the model that it becomes.
constexpr const char* kNpuWorker = "npu-worker";

std::span<const ConfigKey<NpuWorkerConfig>> npu_worker_keys();

[[nodiscard]] Result<void> read_npu_worker(ConfigReader& reader, const YamlNode& node,
                                           FileKeyState* state);

// Once all models are known: the model kNpuWorker, a command with the bytes that its models take.
// `file`: the configuration that was named, or empty. kUsage with the place: a model that there is
// not, or a name that is taken.
[[nodiscard]] Result<void> finish_npu_worker(Os& os, const std::string& file,
                                             NpuWorkerConfig worker, Config* config);

}  // namespace gantry
