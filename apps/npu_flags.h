// Flags of the NPU worker, the same for `gantry npu-worker` and for the program that it becomes.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "npu/limits.h"

namespace gantry {

struct NpuFlags {
  std::vector<std::string> models;  // names, files, folders, NAME=PATH
  std::string listen = "127.0.0.1";
  uint16_t port = kNpuPort;
  std::string device = "auto";
  std::string key_file, cache_dir;
  uint32_t prompt_max = kPromptTokensMax;
  uint32_t threads = 0;
};

void add_npu_flags(CLI::App* app, NpuFlags* flags);

// The command line that says the same.
std::vector<std::string> npu_argv(const std::string& program, const NpuFlags& flags);

}  // namespace gantry
