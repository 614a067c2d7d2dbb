// From keys to a command of our own, and what it needs.
#include "config/npu_worker_config.h"

#include <algorithm>
#include <filesystem>

#include "config/openvino_config.h"

namespace gantry {

namespace {

constexpr size_t kNpuModelsMax = 16;
constexpr Bytes kServer = MiB(256);  // of a language model's process, beside its weights
constexpr Bytes kSmall = GiB(1);     // a file beyond is no BERT, which is computed in f32

std::string where(const ConfigReader& reader, const YamlNode& node) {
  std::string text = reader.error(node, "").message;
  text.erase(text.find_last_not_of(": ") + 1);
  return text;
}

Result<void> read_models_key(ConfigReader& reader, const YamlNode& node, NpuWorkerConfig* out) {
  auto models = reader.texts(node);
  if (!models) return fail(models.error());
  if (models->empty() || models->size() > kNpuModelsMax) {
    return fail(reader.error(node, "want 1 to " + std::to_string(kNpuModelsMax) + " models",
                             "leave models out for micro-embed-en and micro-minutes"));
  }
  for (size_t i = 0; i < models->size(); ++i) {
    const YamlNode& item = node.items.empty() ? node : node.items[i];
    if ((*models)[i].empty() || !is_quotable((*models)[i])) {
      return fail(reader.error(item, "a name or a path that gantry-npu cannot be given"));
    }
    out->places.push_back(where(reader, item));
  }
  out->models = std::move(*models);
  return {};
}

Result<void> read_device(ConfigReader& reader, const YamlNode& node, NpuWorkerConfig* out) {
  auto text = reader.text(node);
  if (!text) return fail(text.error());
  if (!is_device_chain(*text)) {
    return fail(reader.error(node, in_quotes(*text) + " is no chain of devices",
                             "for example npu,cpu"));
  }
  out->device = std::move(*text);
  return {};
}

Result<void> read_listen(ConfigReader& reader, const YamlNode& node, NpuWorkerConfig* out) {
  auto text = reader.text(node);
  if (!text) return fail(text.error());
  const bool host = !text->empty() && text->size() < 256 &&
                    text->find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                            "0123456789.:-") == std::string::npos;
  if (!host || text->starts_with('-')) {
    return fail(reader.error(node, in_quotes(*text) + " is no address",
                             "an address without a port, such as 127.0.0.1"));
  }
  out->listen = std::move(*text);
  return {};
}

constexpr ConfigKey<NpuWorkerConfig> kKeys[] = {
    {"port", Shape::kCount, "port, 1 to 65535; 8081 where it is left out",
     [](ConfigReader& r, const YamlNode& n, NpuWorkerConfig* c) -> Result<void> {
       const auto port = r.count(n, 1, UINT16_MAX);
       if (!port) return fail(port.error());
       c->port = static_cast<uint16_t>(*port);
       return {};
     }},
    {"listen", Shape::kText, "address; off loopback a key is needed", read_listen},
    {"models", Shape::kTexts, "names of models, files, folders, or NAME=PATH", read_models_key},
    {"device", Shape::kText, "npu, gpu, cpu, several by commas, or auto", read_device},
    {"key_file", Shape::kText, "file of mode 0600 with the API key",
     [](ConfigReader& r, const YamlNode& n, NpuWorkerConfig* c) -> Result<void> {
       auto file = r.file(n);
       if (!file) return fail(file.error());
       if (!is_quotable(*file)) return fail(r.error(n, "a path that gantry-npu cannot be given"));
       c->key_file = std::move(*file);
       return {};
     }},
    {"memory", Shape::kBytes, "what it needs; absent: by the models' files",
     [](ConfigReader& r, const YamlNode& n, NpuWorkerConfig* c) -> Result<void> {
       const auto bytes = r.bytes(n);
       if (!bytes) return fail(bytes.error());
       c->memory = *bytes;
       return {};
     }},
};

std::string with_home(Os& os, const std::string& path) {
  const auto home = os.env("HOME");
  return path.starts_with("~/") && home ? join_path(*home, path.substr(2)) : path;
}

// NAME=PATH of a word: a configured model's file, or a path relative to the configuration.
Result<std::pair<std::string, std::string>> named(Os& os, const Config& config,
                                                  const std::string& word,
                                                  const std::string& place) {
  std::string name, path;
  const auto known = std::ranges::find(config.models, word, &ModelConfig::name);
  if (known != config.models.end()) {
    name = word;
    path = known->file;
    if (base_name(path) == kFolderWeights) path = dir_name(path);
  } else {
    const size_t equals = word.find('=');
    path = with_home(os, equals == std::string::npos ? word : word.substr(equals + 1));
    if (!path.empty() && path.front() != '/') {
      path = join_path(dir_name(place.substr(0, place.find(':'))), path);
    }
    const std::filesystem::path file(path);
    const bool model = file.extension() == ".gguf" || file.extension() == ".bin";
    name = equals == std::string::npos ? (model ? file.stem() : file.filename()).string()
                                       : word.substr(0, equals);
  }
  if (!path.empty() && !name.empty() && os.stat(path)) return std::pair{name, path};
  return fail(Code::kUsage, place + ": npu_worker has no model " + in_quotes(word),
              "name a model of this file that has a file, a GGUF file, a whisper model or an "
              "OpenVINO folder");
}

// By size alone: the daemon opens no model. A BERT is computed in f32 and small; a language model
// and whisper are processes of their own with the file's weights.
Bytes bytes_of(Os& os, const std::string& path) {
  const Result<FileInfo> info = os.stat(path);
  const Bytes computed = openvino_bytes(os, path);
  if (!info || info->is_dir) return computed;
  return std::min(computed, info->size + kSmall) + kServer;
}

}  // namespace

std::span<const ConfigKey<NpuWorkerConfig>> npu_worker_keys() { return kKeys; }

Result<void> read_npu_worker(ConfigReader& reader, const YamlNode& node, FileKeyState* state) {
  NpuWorkerConfig worker;
  if (auto done = read_keys(reader, node, npu_worker_keys(), &worker); !done) return done;
  worker.place = where(reader, node);
  const bool loopback = worker.listen.starts_with("127.") || worker.listen == "::1" ||
                        worker.listen == "localhost";
  if (!loopback && worker.key_file.empty()) {
    return fail(reader.error(node, "listen is off loopback and there is no key_file",
                             "add key_file: PATH, or listen on 127.0.0.1"));
  }
  state->npu_worker = std::move(worker);
  return {};
}

Result<void> finish_npu_worker(Os& os, const std::string& file, NpuWorkerConfig worker,
                               Config* config) {
  if (worker.models.empty()) {
    worker.models = {"micro-embed-en", "micro-minutes"};
    worker.places.assign(2, worker.place);
  }
  for (const ModelConfig& model : config->models) {
    if (model.name != kNpuWorker && std::ranges::find(model.aliases, kNpuWorker) ==
                                        model.aliases.end()) {
      continue;
    }
    return fail(Code::kUsage, worker.place + ": the name npu-worker is taken by a model",
                "rename the model " + model.name);
  }
  ModelConfig model;
  model.name = model.kind = kNpuWorker;
  model.proxy = "own-socket";
  model.ttl_s = 0;
  model.cmd = "gantry-npu --listen " + worker.listen + " --port " + std::to_string(worker.port) +
              " --device " + worker.device;
  if (!worker.key_file.empty()) {
    model.cmd += " --key-file '" + with_home(os, worker.key_file) + "'";
  }
  if (!file.empty() && is_quotable(file)) model.cmd += " --config '" + file + "'";
  Bytes need = kOpenvinoProcess;
  for (size_t i = 0; i < worker.models.size(); ++i) {
    const auto one = named(os, *config, worker.models[i], worker.places[i]);
    if (!one) return fail(one.error());
    model.cmd += " --model '" + one->first + "=" + one->second + "'";
    need += bytes_of(os, one->second);
  }
  model.memory = worker.memory.value_or(need);
  config->models.push_back(std::move(model));
  return {};
}

}  // namespace gantry
