// From keys to a command of our own.
#include "config/openvino_config.h"

#include <algorithm>

namespace gantry {

namespace {

constexpr uint32_t kThreadsMax = 512;  // as gantry-npu has it
// The CPU device computes in f32: of f16 in a folder, and of anything down to 8 bits in a GGUF.
constexpr uint64_t kFolderTimes = 2, kGgufTimes = 4;
}  // namespace

bool is_quotable(std::string_view text) {
  return std::ranges::none_of(text, [](char c) { return c == '\'' || c == '\n' || c == '\0'; });
}

bool is_device_chain(std::string_view text) {
  return !text.empty() &&
         text.find_first_not_of("abcdefghijklmnopqrstuvwxyzGNPUC,.0123456789") ==
             std::string_view::npos;
}

Bytes openvino_bytes(Os& os, const std::string& path) {
  const Result<FileInfo> info = os.stat(path);
  if (!info) return {};
  if (!info->is_dir) return Bytes{info->size.n * kGgufTimes};
  const Result<FileInfo> weights = os.stat(join_path(path, kFolderWeights));
  return weights ? Bytes{weights->size.n * kFolderTimes} : Bytes{};
}

Result<void> read_openvino(ConfigReader& reader, const YamlEntry& entry, ModelKeyState* state) {
  ModelConfig& model = *state->model;
  if (model.kind.empty()) model.kind = "embedding";
  if (model.kind != "embedding") {
    return fail(reader.error(entry.key, "openvino computes embeddings", "kind: embedding"));
  }
  if (!model.cmd.empty() || model.file.empty()) {
    return fail(reader.error(entry.key, "openvino needs file, and no cmd",
                             "file: a GGUF of the architecture bert, or an OpenVINO folder"));
  }
  if (!model.aliases.empty()) {
    return fail(reader.error(entry.key, "gantry-npu answers to one name", "remove aliases"));
  }
  if (!is_quotable(model.name + model.file) || model.name.find('=') != std::string::npos) {
    return fail(reader.error(entry.key, "a name or a path that gantry-npu cannot be given"));
  }
  const YamlNode* options = entry.value.find("options");
  if (options == nullptr) return {};
  if (auto sound = reader.want_map(*options); !sound) return sound;
  for (const YamlEntry& option : options->entries) {
    auto value = reader.text(option.value);
    if (!value) return fail(value.error());
    if (option.key.text == "threads") {
      if (auto n = reader.count(option.value, 0, kThreadsMax); !n) return fail(n.error());
    } else if (option.key.text != "device") {
      return fail(reader.error(option.key, "openvino has no option " + in_quotes(option.key.text),
                               "device or threads"));
    } else if (!is_device_chain(*value)) {
      return fail(reader.error(option.value, in_quotes(*value) + " is no chain of devices",
                               "for example npu,cpu"));
    }
    model.voice.options.emplace_back(option.key.text, std::move(*value));
  }
  return {};
}

void finish_openvino(Os& os, ModelConfig* model) {
  if (model->voice.engine != kOpenvinoEngine) return;
  const Result<FileInfo> info = os.stat(model->file);
  const bool folder = info && info->is_dir;
  std::string command = "gantry-npu --listen 127.0.0.1 --port ${PORT}";
  for (const auto& [option, value] : model->voice.options) command += " --" + option + " " + value;
  command += " --model '" + model->name + "=" + model->file + "'";
  model->cmd = std::move(command);
  model->voice = {};
  const Bytes weights = openvino_bytes(os, model->file);
  if (!model->memory && weights > Bytes{}) model->memory = kOpenvinoProcess + weights;
  if (folder) model->file = join_path(model->file, kFolderWeights);  // what tells it has changed
}

}  // namespace gantry
