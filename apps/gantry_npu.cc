// gantry-npu: the NPU worker, the only program that loads OpenVINO's devices for others.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "apps/interrupt.h"
#include "apps/npu_flags.h"
#include "apps/paths.h"
#include "audit/facts.h"
#include "base/out_of_memory.h"
#include "config/config.h"
#include "model/card.h"
#include "npu/service.h"
#include "worker/picture.h"

namespace {

using namespace gantry;

struct Program {
  NpuFlags flags;
  std::string config, state_dir, socket;
  bool devices = false;
};

struct NamedModel {
  std::string name, path;
  enum class Kind { kEmbeds, kWrites, kHears, kSees } kind = Kind::kWrites;
};

// Without OpenVINO's own cache folder, compiling starts anew each time.
std::string cache_folder(Os& os, const std::string& flag) {
  if (!flag.empty()) return absolute_path(flag);
  if (const auto xdg = os.env("XDG_CACHE_HOME"); xdg && !xdg->empty()) {
    return join_path(absolute_path(*xdg), "gantry/openvino");
  }
  const auto home = os.env("HOME");
  return home && !home->empty() ? join_path(*home, ".cache/gantry/openvino") : "";
}

// A configured name, NAME=PATH, or a path whose last part is the name.
Result<NamedModel> named(Os& os, const Config& config, const std::string& word) {
  NamedModel model;
  for (const ModelConfig& known : config.models) {
    if (known.name == word) model = {known.name, known.file};
  }
  if (model.name.empty()) {
    const size_t equals = word.find('=');
    model.path = equals == std::string::npos ? word : word.substr(equals + 1);
    model.path = absolute_path(model.path);
    const std::filesystem::path path(model.path);
    const bool model_file = path.extension() == ".gguf" || path.extension() == ".bin";
    const std::string stem = model_file ? path.stem() : path.filename();
    model.name = equals == std::string::npos ? stem : word.substr(0, equals);
  }
  const Result<FileInfo> info = os.stat(model.path);
  if (!info || model.name.empty()) {
    return fail(Code::kNotFound, "there is no model " + word,
                "give a GGUF file, a whisper model, an OpenVINO folder or a name that gantry ps "
                "lists");
  }
  if (info->is_dir) {
    using Kind = NamedModel::Kind;
    model.kind = is_image_folder(os, model.path) ? Kind::kSees : Kind::kEmbeds;
    return model;
  }
  const Result<std::unique_ptr<MappedFile>> file = os.map_file(model.path);
  if (!file) return fail(file.error());
  const Result<ModelCard> card = read_card((*file)->bytes());
  if (!card) return fail(card.error());
  if (card->format == ModelFormat::kWhisper) model.kind = NamedModel::Kind::kHears;
  if (card->architecture == "bert") model.kind = NamedModel::Kind::kEmbeds;
  return model;
}

// Where llama.cpp's OpenVINO backend is worth its while: on a CPU, ggml itself is faster.
std::vector<std::string> language_devices(const OvCore& core,
                                          const std::vector<std::string>& chain) {
  std::vector<std::string> devices;
  for (const std::string& kind : chain) {
    const OvDevice* device = core.find(kind);
    if (device != nullptr && kind != "CPU") devices.push_back(device->name);
  }
  return devices;
}

// Where the encoder's chain begins, in gantry-worker's words: "GPU.0" -> "gpu".
std::string first_of(const std::vector<std::string>& chain) {
  std::string word = chain.front().substr(0, chain.front().find('.'));
  std::ranges::transform(word, word.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return word;
}

struct Opening {
  Os& os;
  OvCore& core;
  const Clock& clock;
  const WorkerContext& workers;
  const NpuFlags& flags;
  std::vector<std::string> chain;
};

Result<void> open_model(const Opening& with, const NamedModel& model, NpuModels* models) {
  if (model.kind == NamedModel::Kind::kEmbeds) {
    EmbedOptions options;
    options.name = model.name;
    options.path = model.path;
    options.chain = with.chain;
    auto opened = EmbedModel::open(with.os, with.core, with.clock, options);
    if (!opened) return fail(opened.error());
    models->embedders.push_back(std::move(*opened));
  } else if (model.kind == NamedModel::Kind::kSees) {
    ImageOptions options;
    options.name = model.name;
    options.dir = model.path;
    options.chain = with.chain;
    auto opened = ImageModel::open(with.os, with.core, with.clock, options);
    if (!opened) return fail(opened.error());
    models->eyes.push_back(std::move(*opened));
  } else if (model.kind == NamedModel::Kind::kHears) {
    auto opened = EarModel::open(with.os, with.workers,
                                 {model.name, model.path, first_of(with.chain)});
    if (!opened) return fail(opened.error());
    models->ears.push_back(std::move(*opened));
  } else {
    LanguageOptions options{model.name, model.path, with.flags.prompt_max};
    options.devices = language_devices(with.core, with.chain);
    options.backend = GANTRY_GGML_OPENVINO;
    auto opened = LanguageModel::open(with.os, with.clock, with.workers, options);
    if (!opened) return fail(opened.error());
    models->languages.push_back(std::move(*opened));
  }
  return {};
}

Result<void> open_models(const Opening& with, const Config& config, NpuModels* models) {
  std::vector<std::string> words = with.flags.models;
  if (words.empty()) words = {"micro-embed-en", "micro-minutes"};
  std::vector<std::string> names;
  for (const std::string& word : words) {
    const Result<NamedModel> model = named(with.os, config, word);
    if (!model) return fail(model.error());
    if (std::ranges::find(names, model->name) != names.end()) {
      return fail(Code::kUsage, "two models are called " + model->name, "give NAME=PATH");
    }
    names.push_back(model->name);
    if (Result<void> opened = open_model(with, *model, models); !opened) return opened;
  }
  return {};
}

Result<WorkerContext> worker_context(Os& os, const std::string& state_flag) {
  Result<std::string> state = state_directory(os, state_flag);
  if (!state) return fail(state.error());
  const std::string logs = join_path(*state, "npu/logs");
  if (Result<void> made = os.make_dirs(logs, 0700); !made) return fail(made.error());
  Result<std::string> run = runtime_directory(os, join_path(*state, "npu"));
  if (!run) return fail(run.error());
  return WorkerContext{*run, logs, GANTRY_ENGINE_DIR, sibling_program(os, "gantry-worker"),
                       nullptr, join_path(*state, "encoders")};
}

// A folder of this process; those of processes that were killed go.
Result<std::string> spool_folder(Os& os, const std::string& run_dir) {
  const std::string all = join_path(run_dir, "spool");
  if (Result<void> made = os.make_dirs(all, 0700); !made) return fail(made.error());
  const Result<std::vector<std::string>> left = os.list(all);
  if (!left) return fail(left.error());
  for (const std::string& name : *left) {
    if (!os.start_time(std::atoi(name.c_str()))) (void)os.remove(join_path(all, name));
  }
  const std::string own = join_path(all, std::to_string(::getpid()));
  if (Result<void> made = os.make_dirs(own, 0700); !made) return fail(made.error());
  return own;
}

// The small decoder, and ffmpeg for what that does not read.
Decode decoder(Os& os, const WorkerContext& workers) {
  return [&os, &workers](const std::string& file, const std::string& wav,
                         const http::Cancel& gone) -> Result<void> {
    Result<Millis> length = decode_audio(os, workers, MediaTool::kSmall, file, wav, gone, nullptr);
    if (!length && length.error().code == Code::kUnsupported) {
      length = decode_audio(os, workers, MediaTool::kFfmpeg, file, wav, gone, nullptr);
    }
    if (!length) return fail(length.error());
    return {};
  };
}

void tell(const NpuService& service, const OvCore& core, const NpuModels& models) {
  std::fprintf(stderr, "gantry-npu listens on http://%s\n", service.address().text().c_str());
  for (const auto& model : models.embedders) {
    const EmbedStatus status = model->status();
    std::fprintf(stderr, "%s: %s answers\n", status.name.c_str(), status.device.c_str());
  }
  for (const auto& model : models.eyes) {
    const ImageStatus status = model->status();
    std::fprintf(stderr, "%s: %s answers\n", status.name.c_str(), status.device.c_str());
  }
  for (const auto& model : models.languages) {
    const LanguageStatus status = model->status();
    const bool cpu = status.device == kGgml;
    std::fprintf(stderr, "%s: llama.cpp on the %s, loaded when asked\n", status.name.c_str(),
                 cpu ? "CPU" : status.device.c_str());
  }
  for (const auto& model : models.ears) {
    std::fprintf(stderr, "%s: whisper.cpp, loaded when asked\n", model->status().name.c_str());
  }
  if (core.find("NPU") == nullptr) {
    std::fprintf(stderr, "no NPU: OpenVINO's CPU device answers (gantry doctor says more)\n");
  }
}

// One line for gantry doctor.
Result<void> list_devices(Os& os) {
  const Result<std::unique_ptr<OvCore>> core = OvCore::open(os, {});
  if (!core) return fail(core.error());
  nlohmann::json list = nlohmann::json::array();
  for (const OvDevice& one : (*core)->devices()) {
    list.push_back({{"name", one.name}, {"full_name", one.full_name}, {"driver", one.driver}});
  }
  std::printf("%s\n", list.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
  return {};
}

Result<void> run(Os& os, Interrupt& interrupt, const Program& program) {
  const NpuFlags& flags = program.flags;
  std::map<std::string, std::string> over;
  if (!flags.key_file.empty()) over["api_key_file"] = absolute_path(flags.key_file);
  const Result<Config> config = load_config(os, program.config, over);
  if (!config) return fail(config.error());
  NpuServiceOptions options;
  const std::string text = flags.listen.find(':') == std::string::npos
                               ? flags.listen + ":" + std::to_string(flags.port)
                               : "[" + flags.listen + "]:" + std::to_string(flags.port);
  const Result<http::Address> listen = http::parse_address(text);
  if (!listen) return fail(listen.error());
  options.listen = *listen;
  options.socket = program.socket;
  options.guard = {config->api_key, config->allowed_hosts, config->allowed_origins};
  if (!listen->loopback() && options.guard.api_key.empty()) {
    return fail(Code::kUsage, "refusing to listen on " + listen->text() + " without an API key",
                "give --key-file or GANTRY_API_KEY, or listen on 127.0.0.1");
  }
  Result<std::unique_ptr<OvCore>> core = OvCore::open(
      os, {cache_folder(os, flags.cache_dir), GANTRY_OPENVINO_TOKENIZERS, flags.threads});
  if (!core) return fail(core.error());
  Result<WorkerContext> workers = worker_context(os, program.state_dir);
  if (!workers) return fail(workers.error());
  const Result<Cpu> cpu = read_cpu(os);
  if (cpu) workers->cpu = &*cpu;
  const RealClock clock;
  NpuModels models;
  Result<std::vector<std::string>> chain = parse_ov_chain(flags.device);
  if (!chain) return fail(chain.error());
  const Opening opening{os, **core, clock, *workers, flags, std::move(*chain)};
  if (Result<void> opened = open_models(opening, *config, &models); !opened) return opened;
  options.decode = decoder(os, *workers);
  options.picture = [&](const std::string& file, const std::string& ppm,
                        const http::Cancel& gone) {
    return decode_picture(os, *workers, file, ppm, gone);
  };
  Result<std::string> spool = spool_folder(os, workers->run_dir);
  if (!spool) return fail(spool.error());
  options.spool_dir = std::move(*spool);
  options.devices = (*core)->devices();
  options.version = GANTRY_VERSION;
  options.openvino = (*core)->version();
  const std::unique_ptr<Log> log = stderr_log();
  Result<std::unique_ptr<NpuService>> service = serve_npu(options, models, os, *log);
  if (!service) return fail(service.error());
  tell(**service, **core, models);
  interrupt.wait();
  (*service)->stop();
  return os.remove(options.spool_dir);
}

int start(int argc, char** argv) {
  Interrupt interrupt;
  const std::unique_ptr<Os> os = make_real_os();
  Program program;
  CLI::App app("Gantry's NPU worker: embeddings, answers, transcripts and pictures over HTTP.",
               "gantry-npu");
  app.set_version_flag("--version", "gantry-npu " GANTRY_VERSION);
  add_npu_flags(&app, &program.flags);
  app.add_flag("--devices", program.devices, "Print OpenVINO's devices as JSON, and end");
  app.add_option("--config", program.config, "Configuration file");
  app.add_option("--state-dir", program.state_dir, "Where logs live");
  app.add_option("--socket", program.socket, "A unix socket to answer at besides");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() == 0) return app.exit(e);
    std::fprintf(stderr, "gantry: %s (see gantry-npu --help)\n", e.what());
    return exit_code(Code::kUsage);
  }
  const Result<void> done =
      program.devices ? list_devices(*os) : run(*os, interrupt, program);
  if (done) return 0;
  std::fprintf(stderr, "gantry: %s\n", describe(done.error()).c_str());
  return exit_code(done.error().code);
}

}  // namespace

int main(int argc, char** argv) {
  gantry::exit_when_out_of_memory();
  try {
    return start(argc, argv);
  } catch (const std::exception& e) {  // a thread that cannot be started
    std::fprintf(stderr, "gantry: cannot go on: %s\n", e.what());
    return gantry::exit_code(gantry::Code::kUnavailable);
  }
}
