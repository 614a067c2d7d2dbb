// `engine: openvino`: a model whose embeddings gantry-npu computes, as a worker of the daemon.
#pragma once

#include "base/os.h"
#include "config/keys.h"

namespace gantry {

constexpr std::string_view kOpenvinoEngine = "openvino";
constexpr const char* kFolderWeights = "openvino_model.bin";
// Allowed for OpenVINO, its tokenizers and arenas; 64 MiB were seen with small models.
constexpr Bytes kOpenvinoProcess = MiB(192);

// What the keys of such a model say together; `options` are `device` and `threads`, as gantry
// npu-worker has them. Called once the other keys are read.
[[nodiscard]] Result<void> read_openvino(ConfigReader& reader, const YamlEntry& entry,
                                         ModelKeyState* state);

// The letters that a chain of devices has; whether they mean any is the worker's to say.
bool is_device_chain(std::string_view text);
// What may stand in single quotes in a command.
bool is_quotable(std::string_view text);
// What serving that file or folder with OpenVINO takes, without the process itself.
Bytes openvino_bytes(Os& os, const std::string& path);

// Once its path is whole: the command that serves it, and what it needs where the user says nothing
// (what was measured corrects that, as of every command). Does nothing for other engines.
void finish_openvino(Os& os, ModelConfig* model);

}  // namespace gantry
