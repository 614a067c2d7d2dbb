// Language, vision and embedding models: stock llama-server on a unix socket.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "worker/worker.h"

namespace gantry {

// A unix socket's path fits sockaddr_un's 108 bytes with its terminator.
constexpr size_t kSocketPathMax = 107;

// Pure: the command line of llama-server that carries out spec.placement. kUsage when the socket's
// path is too long or not absolute, or the model has no file.
[[nodiscard]] Result<std::vector<std::string>> llama_argv(const WorkerContext& context,
                                                          const WorkerSpec& spec,
                                                          const std::string& socket);

// Pure: the part of it that decides bytes, which `gantry-worker dry-run` takes as well.
std::vector<std::string> llama_memory_argv(const WorkerSpec& spec);

// Where the streamer's plugin lies: beside our programs.
std::string stream_plugin(const WorkerContext& context);

// Pure: what a model that streams is started with besides: the plugin, and the placement in its
// words. Empty for any other.
std::vector<std::pair<std::string, std::string>> stream_environment(const WorkerContext& context,
                                                                    const WorkerSpec& spec,
                                                                    const std::string& stats_file);

[[nodiscard]] Result<std::unique_ptr<Worker>> start_llama(Os& os, const WorkerContext& context,
                                                          const WorkerSpec& spec);

}  // namespace gantry
