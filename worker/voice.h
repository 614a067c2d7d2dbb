// The daemon's side of gantry-voice and gantry-espeak: which program, with what arguments.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "worker/worker.h"

namespace gantry {

// Pure: the command line.
[[nodiscard]] Result<std::vector<std::string>> voice_argv(const WorkerContext& context,
                                                          const WorkerSpec& spec);

[[nodiscard]] Result<std::unique_ptr<Worker>> start_voice(Os& os, const WorkerContext& context,
                                                          const WorkerSpec& spec);

}  // namespace gantry
