// llama-server's flags, each with the reason it is there.
#include "worker/llama.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/rng.h"
#include "worker/audio_command.h"
#include "worker/child.h"
#include "worker/http_worker.h"

namespace gantry {

namespace {

using Argv = std::vector<std::string>;

void add(Argv* argv, std::initializer_list<std::string> more) {
  argv->insert(argv->end(), more.begin(), more.end());
}

bool is_quantised(CacheType type) {
  return type != CacheType::kF32 && type != CacheType::kF16 && type != CacheType::kBf16;
}

std::string number(uint64_t n) { return std::to_string(n); }

// Context, batches and caches: what the plan counted.
void add_memory(const WorkerSpec& spec, Argv* argv) {
  const uint32_t context = std::max<uint32_t>(1, spec.placement.context);
  const uint32_t parallel = std::max<uint32_t>(1, spec.parallel);
  // An encoder sees its whole input in one physical batch; elsewhere a batch larger than the
  // context would only reserve memory.
  const uint32_t ubatch = spec.embeddings ? context : std::min(spec.ubatch, context);
  add(argv, {"-c", number(uint64_t{context} * parallel), "-np", number(parallel)});
  add(argv, {"-b", number(ubatch), "-ub", number(ubatch)});
  add(argv, {"-ctk", std::string(cache_type_name(spec.cache_k)), "-ctv",
             std::string(cache_type_name(spec.cache_v))});
  // A quantised V cache exists with flash attention only.
  const bool flash = spec.flash_attention || is_quantised(spec.cache_v);
  add(argv, {"-fa", flash ? "on" : "off"});
}

// And nothing beyond it.
void add_bounds(const WorkerSpec& spec, Argv* argv) {
  // Weights are read into memory of the process, not mapped: mapped and read cost the same while
  // nothing is repacked (21.6 and 21.5 MiB for a model of 2.4 MiB), but with repacked weights a
  // mapping counts twice, and mapped pages come back by slow faults after memory was short.
  add(argv, {"--load-mode", "none"});
  // Answers name the model as the user does, not by its file.
  add(argv, {"--alias", spec.model});
  // Nothing may grow after the plan was made: no store of old prompts (8 GiB by default), no
  // checkpoints of the context, no parameters adjusted behind our back.
  add(argv, {"--cache-ram", "0", "--ctx-checkpoints", "0", "--fit", "off"});
  if (spec.image_tokens > 0) add(argv, {"--image-max-tokens", number(spec.image_tokens)});
}

// All layers are the streamer's; it computes on the device that its environment names.
void add_streamer(const WorkerSpec& spec, Argv* argv) {
  add(argv, {"-ngl", "99", "--device", "Gantry0"});
  if (!spec.mmproj.empty()) {
    add(argv, {"--mmproj", spec.mmproj});
    const bool cpu = spec.placement.stream->device == "cpu" || spec.placement.encoder_on_cpu;
    if (cpu) add(argv, {"--no-mmproj-offload"});
  }
  if (!spec.placement.stream->lookup) return;
  // A pass moves the same bytes for one token and for several: what followed the last four tokens
  // when they stood before is verified with the next one. Greedy output stays what it was.
  add(argv, {"--spec-type", "ngram-simple", "--spec-ngram-simple-size-n", "4",
             "--spec-ngram-simple-size-m", number(kLookupTokens)});
}

// The draft is whole on the first device of the model, as needs_of() counts it.
void add_companions(const WorkerSpec& spec, Argv* argv) {
  if (!spec.lora.empty()) add(argv, {"--lora", fmt::format("{}", fmt::join(spec.lora, ","))});
  if (spec.draft.empty()) return;
  const bool host = spec.placement.layers.resident == 0;
  add(argv, {"-md", spec.draft, "--spec-type", "draft-simple", "--spec-draft-n-max",
             number(kDraftTokens), "-ngld", host ? "0" : "99"});
  if (host) {
    add(argv, {"-devd", "none"});
  } else if (!spec.devices.empty()) {
    add(argv, {"-devd", spec.devices.front()});
  }
  add(argv, {"-ctkd", std::string(cache_type_name(spec.cache_k)), "-ctvd",
             std::string(cache_type_name(spec.cache_v))});
}

void add_devices(const WorkerSpec& spec, Argv* argv) {
  if (spec.placement.stream) return add_streamer(spec, argv);
  const uint32_t resident = spec.placement.layers.resident;
  add(argv, {"-ngl", number(spec.placement.layers.gpu_layers_flag())});
  if (resident == 0) {
    add(argv, {"--device", "none"});
  } else if (!spec.devices.empty()) {
    add(argv, {"--device", fmt::format("{}", fmt::join(spec.devices, ","))});
  }
  // llama-server cuts the layers on accelerators, the output as one more, in these proportions; or
  // the matrices of all layers.
  const std::vector<Split>& splits = spec.placement.splits;
  const bool tensors = spec.placement.split_mode == SplitMode::kTensor;
  if (splits.size() > 1) {
    std::vector<uint32_t> parts;
    for (const Split& split : splits) parts.push_back(tensors ? split.share : split.layers);
    if (!tensors) ++parts.back();
    add(argv, {"--split-mode", tensors ? "tensor" : "layer", "--tensor-split",
               fmt::format("{}", fmt::join(parts, ","))});
  }
  if (!spec.mmproj.empty()) {
    add(argv, {"--mmproj", spec.mmproj});
    if (resident == 0 || spec.placement.encoder_on_cpu) add(argv, {"--no-mmproj-offload"});
  }
  add_companions(spec, argv);
}

}  // namespace

Argv llama_memory_argv(const WorkerSpec& spec) {
  Argv argv{"-m", spec.file};
  add_memory(spec, &argv);
  add_devices(spec, &argv);
  if (!spec.embeddings) return argv;
  add(&argv, {"--embeddings"});
  if (!spec.pooling.empty()) add(&argv, {"--pooling", spec.pooling});
  return argv;
}

Result<Argv> llama_argv(const WorkerContext& context, const WorkerSpec& spec,
                        const std::string& socket) {
  if (spec.file.empty()) return fail(Code::kUsage, "the model " + spec.model + " has no file");
  if (socket.size() > kSocketPathMax || !socket.starts_with('/')) {
    return fail(Code::kUsage,
                fmt::format("the socket path {} is not an absolute path of at most {} bytes",
                            socket, kSocketPathMax),
                "choose a shorter runtime folder (XDG_RUNTIME_DIR)");
  }
  Argv argv{join_path(context.engine_dir, "llama-server"), "--host", socket};
  const Argv memory = llama_memory_argv(spec);
  argv.insert(argv.end(), memory.begin(), memory.end());
  add_bounds(spec, &argv);
  const std::string threads = number(compute_threads(context.cpu));
  add(&argv, {"-t", threads, "-tb", threads});
  // One thread a sequence, one for health, one to spare.
  add(&argv, {"--threads-http", number(std::max<uint32_t>(1, spec.parallel) + 2)});
  // The model's own chat template, not a guess from its text.
  if (!spec.embeddings) add(&argv, {"--jinja"});
  // The empty run at start costs time, and a pass over the disk where the model streams; what it
  // would reserve is in the plan.
  add(&argv, {"--no-warmup"});
  // What it heard before must not change, in the last bit, what it hears now.
  if (!spec.voice.engine.empty()) add(&argv, {"--no-cache-prompt"});
  // No network, no page, no view into other requests, no colours in the log.
  add(&argv, {"--offline", "--no-ui", "--no-slots", "--log-colors", "off"});
  return argv;
}

std::string stream_plugin(const WorkerContext& context) {
  return join_path(dir_name(context.worker_exe), "libggml-gantry.so");
}

std::vector<std::pair<std::string, std::string>> stream_environment(
    const WorkerContext& context, const WorkerSpec& spec, const std::string& stats_file) {
  if (!spec.placement.stream) return {};
  const StreamPlan& plan = *spec.placement.stream;
  const bool cpu = plan.device == "cpu" || spec.devices.empty();
  std::vector<std::pair<std::string, std::string>> out = {
      {"GGML_BACKEND_PATH", stream_plugin(context)},
      {"GANTRY_STREAM_INNER", cpu ? "CPU" : spec.devices.front()},
      {"GANTRY_STREAM_DEVICE_BUDGET", number(plan.device_budget.n)},
      // An expert cache of a given size also says that this model does stream: no byte that comes
      // in while it loads is kept. Without experts it is never made.
      {"GANTRY_STREAM_EXPERTS", number(std::max<uint64_t>(1, plan.experts.n))},
      {"GANTRY_STREAM_STATS", stats_file}};
  if (plan.host_budget.n > 0) {
    out.emplace_back("GANTRY_STREAM_HOST_BUDGET", number(plan.host_budget.n));
  }
  if (plan.resident_layers) {
    out.emplace_back("GANTRY_STREAM_RESIDENT", number(*plan.resident_layers));
  }
  if (!spec.trace_file.empty()) out.emplace_back("GANTRY_STREAM_TRACE", spec.trace_file);
  return out;
}

Result<std::unique_ptr<Worker>> start_llama(Os& os, const WorkerContext& context,
                                            const WorkerSpec& spec) {
  Rng rng = Rng::from_system();
  // Short, because the folder may already take most of the 108 bytes; llama-server tells a socket
  // by its ending.
  const std::string base =
      join_path(context.run_dir, fmt::format("{:08x}", rng.next() & 0xFFFFFFFF));
  const std::string socket = base + ".sock";
  const std::string stats = spec.placement.stream ? base + ".stats" : "";
  if (spec.placement.stream && !os.stat(stream_plugin(context))) {
    return fail(Code::kUnavailable, "the streamer " + stream_plugin(context) + " is not there",
                "install it beside gantryd, or forbid streaming (stream: off)");
  }
  Result<Argv> argv = llama_argv(context, spec, socket);
  if (!argv) return fail(argv.error());
  ProcessSpec process = worker_process(context, spec.model);
  process.gate = spec.gate;
  process.argv = std::move(*argv);
  for (const auto& pair : stream_environment(context, spec, stats)) process.env.push_back(pair);
  process.env.insert(process.env.end(), spec.env.begin(), spec.env.end());
  Result<std::unique_ptr<Child>> child =
      Child::start(os, process, "llama-server for " + spec.model);
  if (!child) return fail(child.error());
  http::Address address;
  address.unix_path = socket;
  auto server = make_http_worker(os, std::move(*child), {address, "/health", stats});
  if (spec.voice.engine.empty()) return server;
  return make_audio_command(std::move(server), spec, {});
}

}  // namespace gantry
