// llama.cpp's dry run, with the parameters that its server would use.
#include "worker/dry_run.h"

#include <ggml-backend.h>
#include <llama-ext.h>
#include <mtmd.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/os.h"
#include "worker/measure_engine.h"

namespace gantry {

namespace {

using nlohmann::json;

constexpr uint32_t kUbatchMost = 1U << 20;

// The first error is kept, since libllama returns no cause and the later ones only follow.
struct Complaint {
  Complaint() {
    llama_log_set(hear, this);
    mtmd_log_set(hear, this);
  }
  ~Complaint() {
    llama_log_set(nullptr, nullptr);
    mtmd_log_set(nullptr, nullptr);
  }
  Complaint(const Complaint&) = delete;
  Complaint& operator=(const Complaint&) = delete;
  static void hear(ggml_log_level level, const char* text, void* self) {
    if (level != GGML_LOG_LEVEL_ERROR) return;
    std::string line(text);
    while (line.ends_with('\n')) line.pop_back();
    std::string& kept = static_cast<Complaint*>(self)->first;
    if (kept.empty()) kept = line;
  }
  std::string first;
};

struct FreeModel {
  void operator()(llama_model* model) const { llama_model_free(model); }
};
struct FreeContext {
  void operator()(llama_context* context) const { llama_free(context); }
};

std::vector<std::string> pieces_of(const std::string& list) {
  std::vector<std::string> out;
  for (size_t at = 0; at < list.size();) {
    const size_t end = std::min(list.find(',', at), list.size());
    out.push_back(list.substr(at, end - at));
    at = end + 1;
  }
  return out;
}

Result<ModelCard> card_of(const std::string& path) {
  const std::unique_ptr<Os> os = make_real_os();
  const Result<std::unique_ptr<MappedFile>> file = os->map_file(path);
  if (!file) return fail(file.error());
  return read_card((*file)->bytes());
}

// Our own parser first: its errors name the field, and a hostile file goes no further.
Result<void> check_files(const DryRunOptions& options) {
  const Result<ModelCard> card = card_of(options.model);
  if (!card) return fail(card.error());
  if (card->format != ModelFormat::kGguf || card->architecture == "clip") {
    return fail(Code::kUnsupported, base_name(options.model) + " is no language model",
                "name a GGUF model that llama.cpp runs");
  }
  if (options.mmproj.empty()) return {};
  const Result<ModelCard> encoder = card_of(options.mmproj);
  if (!encoder) return fail(encoder.error());
  if (encoder->architecture == "clip") return {};
  return fail(Code::kUnsupported, base_name(options.mmproj) + " is no vision or audio encoder",
              "name the mmproj file that belongs to the model");
}

Result<void> check_numbers(const DryRunOptions& options) {
  const auto refuse = [](const char* flag, uint64_t value, uint64_t most) {
    return fail(Code::kUsage, std::string(flag) + " is " + std::to_string(value),
                "give 1 to " + std::to_string(most));
  };
  if (options.context == 0 || options.context > kContextMax) {
    return refuse("-c", options.context, kContextMax);
  }
  if (options.split_mode != "layer") {
    return fail(Code::kUsage, "--split-mode is " + options.split_mode, "give layer");
  }
  if (options.batch > kUbatchMost) return refuse("-b", options.batch, kUbatchMost);
  const uint64_t sequences = llama_max_parallel_sequences();
  if (options.parallel == 0 || options.parallel > sequences) {
    return refuse("-np", options.parallel, sequences);
  }
  if (options.ubatch == 0 || options.ubatch > kUbatchMost) {
    return refuse("-ub", options.ubatch, kUbatchMost);
  }
  return {};
}

ggml_type cache_type(CacheType type) {
  switch (type) {
    case CacheType::kF32: return GGML_TYPE_F32;
    case CacheType::kF16: return GGML_TYPE_F16;
    case CacheType::kBf16: return GGML_TYPE_BF16;
    case CacheType::kQ8_0: return GGML_TYPE_Q8_0;
    case CacheType::kQ5_1: return GGML_TYPE_Q5_1;
    case CacheType::kQ5_0: return GGML_TYPE_Q5_0;
    case CacheType::kQ4_1: return GGML_TYPE_Q4_1;
    case CacheType::kQ4_0: return GGML_TYPE_Q4_0;
  }
  return GGML_TYPE_F16;
}

// Null-terminated; empty: all that ggml has.
Result<std::vector<ggml_backend_dev_t>> devices_of(const DryRunOptions& options) {
  ::unsetenv("GGML_BACKEND_PATH");  // what is asked is named by flags alone
  ggml_backend_load_all_from_path(options.engine_dir.c_str());
  if (ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU) == nullptr) {
    return fail(Code::kUnavailable, "no ggml backend loads from " + options.engine_dir,
                "build the dependencies again: ./run --setup");
  }
  if (!options.plugin.empty() && ggml_backend_load(options.plugin.c_str()) == nullptr) {
    return fail(Code::kUnavailable, "the plugin " + options.plugin + " does not load",
                "it must be there, and built for this ggml");
  }
  std::vector<ggml_backend_dev_t> out;
  if (options.devices.empty()) return out;
  for (const std::string& name : pieces_of(options.devices)) {
    if (name == "none") continue;
    ggml_backend_dev_t device = ggml_backend_dev_by_name(name.c_str());
    if (device == nullptr || out.size() == kDryRunDevicesMax) {
      return fail(Code::kUnavailable, "ggml has no device named " + name,
                  "see gantry-worker probe");
    }
    out.push_back(device);
  }
  out.push_back(nullptr);
  return out;
}

Result<std::vector<float>> split_of(const DryRunOptions& options) {
  std::vector<float> out(llama_max_devices(), 0.0F);
  const std::vector<std::string> parts = pieces_of(options.tensor_split);
  for (size_t i = 0; i < parts.size(); ++i) {
    const char* end = parts[i].data() + parts[i].size();
    float& share = out[std::min(i, out.size() - 1)];
    const auto [stop, error] = std::from_chars(parts[i].data(), end, share);
    if (error != std::errc() || stop != end || i >= out.size()) {
      return fail(Code::kUsage, "-ts " + options.tensor_split + " is no list of numbers",
                  "give one for each device, such as 20,12");
    }
  }
  return out;
}

std::optional<enum llama_pooling_type> parse_pooling(const std::string& name) {
  if (name.empty()) return LLAMA_POOLING_TYPE_UNSPECIFIED;
  if (name == "none") return LLAMA_POOLING_TYPE_NONE;
  if (name == "mean") return LLAMA_POOLING_TYPE_MEAN;
  if (name == "cls") return LLAMA_POOLING_TYPE_CLS;
  if (name == "last") return LLAMA_POOLING_TYPE_LAST;
  if (name == "rank") return LLAMA_POOLING_TYPE_RANK;
  return std::nullopt;
}

Result<llama_context_params> context_params(const DryRunOptions& options) {
  const auto k = parse_cache_type(options.cache_k), v = parse_cache_type(options.cache_v);
  if (!k) return fail(k.error());
  if (!v) return fail(v.error());
  llama_context_params params = llama_context_default_params();
  params.n_ctx = options.context;
  params.n_seq_max = options.parallel;
  params.n_ubatch = options.ubatch;
  params.n_batch = options.batch == 0 ? options.ubatch : options.batch;
  // As llama-server sets them: rows of logits for each sequence, or for each token where the
  // answer is an embedding; a cache of its own for each sequence once -np is said.
  params.n_outputs_max = options.embeddings ? options.ubatch : options.parallel;
  params.n_outputs_max_per_seq = 1;
  params.kv_unified = false;
  params.embeddings = options.embeddings;
  const std::optional<enum llama_pooling_type> pooling = parse_pooling(options.pooling);
  if (!pooling) {
    return fail(Code::kUsage, "--pooling is " + options.pooling,
                "give none, mean, cls, last or rank");
  }
  params.pooling_type = *pooling;
  params.swa_full = false;
  params.type_k = cache_type(*k);
  params.type_v = cache_type(*v);
  params.op_offload = options.op_offload;
  if (options.flash_attention == "on") {
    params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_ENABLED;
  } else if (options.flash_attention == "auto") {
    params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_AUTO;
  } else if (options.flash_attention == "off") {
    params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
  } else {
    return fail(Code::kUsage, "-fa is " + options.flash_attention, "give on, off or auto");
  }
  return params;
}

json row_of(const llama_memory_breakdown_data& bytes) {
  json row;
  row["model"] = bytes.model;
  row["context"] = bytes.context;
  row["compute"] = bytes.compute;
  return row;
}

void add_row(json* row, const json& more) {
  for (const char* key : {"model", "context", "compute"}) {
    (*row)[key] = row->at(key).get<uint64_t>() + more.at(key).get<uint64_t>();
  }
}

json report(const llama_model* model, const llama_context* context) {
  std::vector<json> devices;
  for (int i = 0; i < llama_model_n_devices(model); ++i) {
    devices.push_back(row_of({}));
    devices.back()["name"] = ggml_backend_dev_name(llama_model_get_device(model, i));
  }
  json host = row_of({}), buffers = json::array();
  for (const auto& [type, bytes] : llama_get_memory_breakdown(context)) {
    const bool on_host = ggml_backend_buft_is_host(type);
    ggml_backend_dev_t owner = ggml_backend_buft_get_device(type);
    json row = row_of(bytes);
    json* target = &host;  // repacked weights are in buffers of the CPU that nobody else may read
    for (size_t i = 0; i < devices.size() && !on_host; ++i) {
      if (owner == llama_model_get_device(model, static_cast<int>(i))) target = &devices[i];
    }
    add_row(target, row);
    row["type"] = ggml_backend_buft_name(type);
    row["host"] = on_host;
    buffers.push_back(std::move(row));
  }
  return {{"devices", devices}, {"host", host}, {"buffers", buffers}};
}

// As llama_context::output_reserve() does: a row of logits for each sequence, which embeddings have
// as well, then for each token of a batch and with the answer beside it.
void add_output(const DryRunOptions& options, const llama_model* model, json* host) {
  const auto words =
      static_cast<uint64_t>(llama_vocab_n_tokens(llama_model_get_vocab(model)));
  uint64_t rows = options.parallel, width = words;
  if (options.embeddings) {
    rows = std::max(options.parallel, options.ubatch);
    width += static_cast<uint64_t>(llama_model_n_embd_out(model));
  }
  (*host)["output"] = rows * width * sizeof(float);
  (*host)["compute"] = host->at("compute").get<uint64_t>() + rows * width * sizeof(float);
}

// Of weights, and with `graph` of the reserved graph too.
Result<uint64_t> encoder_bytes(const DryRunOptions& options, bool graph,
                               const Complaint& complaint) {
  mtmd_context_params params = mtmd_context_params_default();
  params.use_gpu = false;
  params.warmup = graph;
  params.flash_attn_type = options.flash_attention == "on" ? LLAMA_FLASH_ATTN_TYPE_ENABLED
                                                           : LLAMA_FLASH_ATTN_TYPE_DISABLED;
  const auto used = mtmd_get_memory_usage(options.mmproj.c_str(), params);
  if (used.empty()) {
    return fail(engine_error("cannot load " + base_name(options.mmproj), complaint.first));
  }
  uint64_t sum = 0;
  for (const auto& [owner, bytes] : used) sum += bytes;
  return sum;
}

// The encoder beside it, on the first device as llama-server puts it there.
Result<void> add_encoder(const DryRunOptions& options, const Complaint& complaint, json* out) {
  const Result<uint64_t> weights = encoder_bytes(options, false, complaint);
  if (!weights) return fail(weights.error());
  const Result<uint64_t> all = encoder_bytes(options, true, complaint);
  if (!all) return fail(all.error());
  json& devices = (*out)["devices"];
  const bool offloaded =
      options.encoder_offload && options.gpu_layers != 0 && !devices.empty();
  json& target = offloaded ? devices.front() : (*out)["host"];
  target["mmproj"] = *weights;
  target["mmproj_compute"] = *all - std::min(*all, *weights);
  return {};
}

}  // namespace

Result<json> dry_run(const DryRunOptions& options) {
  if (Result<void> done = check_files(options); !done) return fail(done.error());
  if (Result<void> done = check_numbers(options); !done) return fail(done.error());
  Complaint complaint;
  Result<std::vector<ggml_backend_dev_t>> devices = devices_of(options);
  if (!devices) return fail(devices.error());
  const Result<std::vector<float>> split = split_of(options);
  if (!split) return fail(split.error());
  const Result<llama_context_params> wanted = context_params(options);
  if (!wanted) return fail(wanted.error());
  llama_model_params params = llama_model_default_params();
  if (!devices->empty()) params.devices = devices->data();
  params.n_gpu_layers = options.gpu_layers;
  if (!options.tensor_split.empty()) params.tensor_split = split->data();
  params.use_extra_bufts = options.repack;
  params.load_mode = LLAMA_LOAD_MODE_NONE;
  params.no_alloc = true;
  const std::unique_ptr<llama_model, FreeModel> model(
      llama_model_load_from_file(options.model.c_str(), params));
  if (!model) {
    return fail(engine_error("cannot load " + base_name(options.model), complaint.first));
  }
  const std::unique_ptr<llama_context, FreeContext> context(
      llama_init_from_model(model.get(), *wanted));
  if (!context) return fail(engine_error("cannot make a context", complaint.first));
  json out = report(model.get(), context.get());
  add_output(options, model.get(), &out["host"]);
  if (options.mmproj.empty()) return out;
  if (Result<void> done = add_encoder(options, complaint, &out); !done) return fail(done.error());
  return out;
}

}  // namespace gantry
