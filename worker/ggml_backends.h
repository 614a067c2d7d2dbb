// Loads ggml's backend plugins from the engines' folder.
#pragma once

#include <string>

namespace gantry {

// The CPU alone maps no library of a GPU vendor, which costs memory and start-up time. A plugin
// that does not load is skipped; what is missing shows as a missing device.
void load_cpu_backend(const std::string& engine_dir);
void load_all_backends(const std::string& engine_dir);

// ggml's and whisper's own messages go to stderr, where the worker's log is.
void log_engines_to_stderr();

}  // namespace gantry
