// What llama.cpp itself says that a placement takes: its dry run, in a process of its own, for it
// opens the model's bytes.
#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "base/os.h"
#include "worker/worker.h"

namespace gantry {

// A driver's runtime takes seconds to start when it is cold; the dry run itself takes 10 to 500 ms.
constexpr Millis kEngineProbeMax{20'000};

// The engine's answer (worker/dry_run.h) to what llama-server would be told. kUnsupported: it
// cannot be asked, because the model streams or is not llama.cpp's; kTimeout; kWorkerFailed with
// its own words, or how it ended.
using EngineProbe = std::function<Result<nlohmann::json>(const WorkerSpec& spec)>;

// Asks `worker_exe --engines engine_dir dry-run ...`. `scratch` is a folder for its error output.
EngineProbe engine_probe(Os& os, const std::string& worker_exe, const std::string& engine_dir,
                         const std::string& scratch);

// Pure: the flags after `dry-run`: those that decide bytes, and the plugin that the engine is to
// load besides. They and the files are all that an answer depends on.
std::vector<std::string> dry_run_flags(Os& os, const WorkerSpec& spec);

// In the plan's words: by its devices, host memory last; without overhead. kInternal names the
// field.
[[nodiscard]] Result<std::vector<Need>> needs_of_answer(const nlohmann::json& answer,
                                                        const WorkerSpec& spec);

}  // namespace gantry
