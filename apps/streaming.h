// How a command asks for streaming: run, trace.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>

#include "base/result.h"

namespace gantry {

// --num-gpu-layers K, --config PRESET, --auto, --no-offload: at most one of them.
struct StreamingFlags {
  std::optional<uint32_t> layers;
  std::string config;  // a preset, or, as everywhere, a configuration file
  bool automatic = false, whole = false;

  void add_to(CLI::App* command);
  // The word that says so ("8", "extreme", "auto", "off"); empty: nothing was asked for. Moves a
  // --config that names a file to `config_file`. kUsage where two contradict each other.
  [[nodiscard]] Result<std::string> word(std::string* config_file) const;
};

}  // namespace gantry
