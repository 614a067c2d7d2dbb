// libllama behind MeasureEngine.
#include "worker/measure_engine.h"

#include <ggml-backend.h>
#include <llama.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string_view>

#include "base/os.h"
#include "model/card.h"

namespace gantry {

namespace {

// The plugin's statistics as JSON: the bytes needed, as of snprintf.
using StatisticsFn = size_t (*)(ggml_backend_reg_t plugin, char* out, size_t size);
constexpr const char* kStatisticsProc = "gantry_stream_statistics";
constexpr size_t kStatisticsMax = 16 << 20;

// Errors and warnings go to stderr; the first error is kept, since libllama returns no cause and
// the later ones only say that therefore this and that failed too.
struct Complaint {
  std::string first;
  static void hear(ggml_log_level level, const char* text, void* self) {
    if (level != GGML_LOG_LEVEL_WARN && level != GGML_LOG_LEVEL_ERROR) return;
    std::string_view line(text);
    [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
    while (line.ends_with('\n')) line.remove_suffix(1);
    std::string& kept = static_cast<Complaint*>(self)->first;
    if (level == GGML_LOG_LEVEL_ERROR && kept.empty()) kept = line;
  }
};

struct FreeModel {
  void operator()(llama_model* model) const { llama_model_free(model); }
};
struct FreeContext {
  void operator()(llama_context* context) const { llama_free(context); }
};

// A llama_batch of fixed room.
class Batch {
 public:
  explicit Batch(int room) : batch_(llama_batch_init(room, 0, 1)) {}
  ~Batch() { llama_batch_free(batch_); }
  Batch(const Batch&) = delete;
  Batch& operator=(const Batch&) = delete;
  void clear() { batch_.n_tokens = 0; }
  void add(int32_t token, int position, int sequence, bool answer) {
    const auto i = static_cast<size_t>(batch_.n_tokens++);
    batch_.token[i] = token;
    batch_.pos[i] = position;
    batch_.n_seq_id[i] = 1;
    batch_.seq_id[i][0] = sequence;
    batch_.logits[i] = answer ? 1 : 0;
  }
  const llama_batch& get() const { return batch_; }

 private:
  llama_batch batch_;
};

struct HeldDevice {
  ggml_backend_dev_t device;
  size_t free_before;
};

size_t free_of(ggml_backend_dev_t device) {
  size_t free = 0, total = 0;
  ggml_backend_dev_memory(device, &free, &total);
  return free;
}

bool stopped(void* cancel) { return static_cast<const std::atomic<bool>*>(cancel)->load(); }

int usable_processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  return ::sched_getaffinity(0, sizeof set, &set) == 0 ? std::max(1, CPU_COUNT(&set)) : 1;
}

class LlamaEngine final : public MeasureEngine {
 public:
  explicit LlamaEngine(const std::atomic<bool>& cancel) : cancel_(cancel) {
    llama_log_set(Complaint::hear, &complaint_);
  }
  ~LlamaEngine() override {
    context_.reset();
    model_.reset();
    llama_log_set(nullptr, nullptr);
  }
  LlamaEngine(const LlamaEngine&) = delete;
  LlamaEngine& operator=(const LlamaEngine&) = delete;

  [[nodiscard]] Result<void> open_devices(const MeasureOptions& options);
  [[nodiscard]] Result<void> open_model(const MeasureOptions& options);
  [[nodiscard]] Result<void> open_context(const MeasureOptions& options);

  int vocabulary() const override {
    return llama_vocab_n_tokens(llama_model_get_vocab(model_.get()));
  }
  int layers() const override { return llama_model_n_layer(model_.get()); }
  int batch() const override { return static_cast<int>(llama_n_batch(context_.get())); }
  nlohmann::json devices() const override;
  nlohmann::json statistics() const override;
  void clear() override { llama_memory_clear(llama_get_memory(context_.get()), false); }
  Result<void> read(std::span<const int32_t> tokens, int position) override;
  void share(int sequences) override;
  Result<void> write(std::span<int32_t> tokens, int position) override;

 private:
  [[nodiscard]] Result<void> run();

  const std::atomic<bool>& cancel_;
  Complaint complaint_;
  ggml_backend_reg_t plugin_ = nullptr;
  std::vector<ggml_backend_dev_t> chosen_;  // null-terminated when not empty
  std::vector<HeldDevice> held_;
  std::unique_ptr<llama_model, FreeModel> model_;
  std::unique_ptr<llama_context, FreeContext> context_;
  std::unique_ptr<Batch> batch_;
};

Result<void> LlamaEngine::open_devices(const MeasureOptions& options) {
  // What is measured is named by flags alone.
  ::unsetenv("GGML_BACKEND_PATH");
  ggml_backend_load_all_from_path(options.engine_dir.c_str());
  if (ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU) == nullptr) {
    return fail(Code::kUnavailable, "no ggml backend loads from " + options.engine_dir,
                "build the dependencies again: ./run --setup");
  }
  ggml_backend_dev_t device = nullptr;
  if (!options.plugin.empty()) {
    plugin_ = ggml_backend_load(options.plugin.c_str());
    if (plugin_ == nullptr || ggml_backend_reg_dev_count(plugin_) == 0) {
      return fail(Code::kUnavailable, "the plugin " + options.plugin + " does not load",
                  "it must be there, and built for this ggml");
    }
    device = ggml_backend_reg_dev_get(plugin_, 0);
  }
  if (!options.device.empty()) {
    device = ggml_backend_dev_by_name(options.device.c_str());
    if (device == nullptr) {
      return fail(Code::kUnavailable, "ggml has no device named " + options.device,
                  "see gantry-worker probe");
    }
  }
  if (device != nullptr) chosen_ = {device, nullptr};
  for (size_t i = 0; i < ggml_backend_dev_count(); ++i) {
    ggml_backend_dev_t one = ggml_backend_dev_get(i);
    if (ggml_backend_dev_type(one) == GGML_BACKEND_DEVICE_TYPE_CPU) continue;
    held_.push_back({one, free_of(one)});
  }
  return {};
}

Result<void> LlamaEngine::open_model(const MeasureOptions& options) {
  llama_model_params params = llama_model_default_params();
  if (!chosen_.empty()) params.devices = chosen_.data();
  params.n_gpu_layers = options.gpu_layers;
  params.load_mode = llama_load_mode_from_str(options.load_mode.c_str());
  params.use_extra_bufts = options.repack;
  params.progress_callback = [](float, void* cancel) { return !stopped(cancel); };
  params.progress_callback_user_data = const_cast<std::atomic<bool>*>(&cancel_);
  model_.reset(llama_model_load_from_file(options.model.c_str(), params));
  if (model_) return {};
  if (cancel_) return fail(Code::kCancelled, "interrupted while loading");
  return fail(engine_error("cannot load " + base_name(options.model), complaint_.first));
}

Result<void> LlamaEngine::open_context(const MeasureOptions& options) {
  llama_context_params params = llama_context_default_params();
  const int needed = options.prompt + options.decode * options.sequences + options.sequences;
  const int context = options.context > 0 ? options.context : needed;
  params.n_ctx = static_cast<uint32_t>((context + 255) / 256 * 256);  // in llama.cpp's steps
  params.n_batch = static_cast<uint32_t>(std::max(options.batch, options.sequences));
  params.n_ubatch = static_cast<uint32_t>(options.ubatch);
  params.n_seq_max = static_cast<uint32_t>(options.sequences);
  params.kv_unified = options.sequences > 1;  // the prompt's cells are shared
  params.n_threads = params.n_threads_batch =
      options.threads > 0 ? options.threads : usable_processors();
  params.flash_attn_type = options.flash_attention == "on"    ? LLAMA_FLASH_ATTN_TYPE_ENABLED
                           : options.flash_attention == "off" ? LLAMA_FLASH_ATTN_TYPE_DISABLED
                                                              : LLAMA_FLASH_ATTN_TYPE_AUTO;
  params.op_offload = options.op_offload;
  params.abort_callback = stopped;
  params.abort_callback_data = const_cast<std::atomic<bool>*>(&cancel_);
  context_.reset(llama_init_from_model(model_.get(), params));
  if (!context_) return fail(engine_error("cannot make a context", complaint_.first));
  batch_ = std::make_unique<Batch>(static_cast<int>(params.n_batch));
  return {};
}

nlohmann::json LlamaEngine::devices() const {
  nlohmann::json out = nlohmann::json::array();
  for (const HeldDevice& one : held_) {
    const size_t now = free_of(one.device);
    out.push_back({{"name", ggml_backend_dev_name(one.device)},
                   {"description", ggml_backend_dev_description(one.device)},
                   {"held_bytes", one.free_before > now ? one.free_before - now : 0}});
  }
  return out;
}

nlohmann::json LlamaEngine::statistics() const {
  if (plugin_ == nullptr) return nullptr;
  void* proc = ggml_backend_reg_get_proc_address(plugin_, kStatisticsProc);
  if (proc == nullptr) return nullptr;
  const auto ask = reinterpret_cast<StatisticsFn>(proc);
  std::string text(65536, '\0');
  size_t needed = ask(plugin_, text.data(), text.size());
  if (needed >= text.size() && needed < kStatisticsMax) {
    text.assign(needed + 4096, '\0');  // it may have grown meanwhile
    needed = ask(plugin_, text.data(), text.size());
  }
  text.resize(::strnlen(text.data(), text.size()));
  nlohmann::json parsed = nlohmann::json::parse(text, nullptr, false);
  return parsed.is_object() ? parsed : nlohmann::json();
}

Result<void> LlamaEngine::run() {
  const int status = llama_decode(context_.get(), batch_->get());
  llama_synchronize(context_.get());
  if (status == 0) return {};
  if (status == 2 || cancel_) return fail(Code::kCancelled, "interrupted");
  if (status == 1) {
    return fail(Code::kDoesNotFit, "the context is too small for this batch",
                "give a larger -c, or fewer tokens or sequences");
  }
  return fail(engine_error("cannot compute", complaint_.first));
}

Result<void> LlamaEngine::read(std::span<const int32_t> tokens, int position) {
  const size_t step = llama_n_batch(context_.get());
  for (size_t done = 0; done < tokens.size();) {
    const size_t n = std::min(step, tokens.size() - done);
    batch_->clear();
    for (size_t i = 0; i < n; ++i) {
      batch_->add(tokens[done + i], position + static_cast<int>(done + i), 0,
                  done + i + 1 == tokens.size());
    }
    done += n;
    if (Result<void> ran = run(); !ran) return ran;
  }
  return {};
}

void LlamaEngine::share(int sequences) {
  llama_memory_t memory = llama_get_memory(context_.get());
  for (int s = 1; s < sequences; ++s) llama_memory_seq_cp(memory, 0, s, -1, -1);
}

Result<void> LlamaEngine::write(std::span<int32_t> tokens, int position) {
  batch_->clear();
  for (size_t s = 0; s < tokens.size(); ++s) {
    batch_->add(tokens[s], position, static_cast<int>(s), true);
  }
  if (Result<void> ran = run(); !ran) return ran;
  const auto words = static_cast<size_t>(vocabulary());
  for (size_t s = 0; s < tokens.size(); ++s) {
    const float* logits = llama_get_logits_ith(context_.get(), static_cast<int>(s));
    if (logits == nullptr) {
      return fail(Code::kUnsupported, "the model gives no logits",
                  "only models that write text can be measured");
    }
    tokens[s] = static_cast<int32_t>(std::max_element(logits, logits + words) - logits);
  }
  return {};
}

// Our own parser first: its errors name the field, and a hostile file goes no further.
Result<void> check_file(const std::string& path) {
  const std::unique_ptr<Os> os = make_real_os();
  const Result<std::unique_ptr<MappedFile>> file = os->map_file(path);
  if (!file) return fail(file.error());
  const Result<ModelCard> card = read_card((*file)->bytes());
  if (!card) return fail(card.error());
  if (card->format == ModelFormat::kGguf && card->layers > 0) return {};
  return fail(Code::kUnsupported, base_name(path) + " is no language model",
              "measure a GGUF model that writes text");
}

}  // namespace

Error engine_error(const std::string& doing, const std::string& complaint) {
  constexpr std::array<std::string_view, 4> kMemory = {"alloc", "out of memory", "budget",
                                                       "does not fit"};
  const bool memory = std::ranges::any_of(kMemory, [&complaint](std::string_view word) {
    return complaint.find(word) != std::string::npos;
  });
  return {memory ? Code::kDoesNotFit : Code::kWorkerFailed,
          doing + ": " + (complaint.empty() ? "llama.cpp gives no reason" : complaint),
          memory ? "keep fewer layers resident, or take a smaller context" : ""};
}

Result<std::unique_ptr<MeasureEngine>> load_engine(const MeasureOptions& options,
                                                   const std::atomic<bool>& cancel) {
  if (Result<void> checked = check_file(options.model); !checked) return fail(checked.error());
  auto engine = std::make_unique<LlamaEngine>(cancel);
  if (Result<void> done = engine->open_devices(options); !done) return fail(done.error());
  if (Result<void> done = engine->open_model(options); !done) return fail(done.error());
  if (Result<void> done = engine->open_context(options); !done) return fail(done.error());
  return engine;
}

}  // namespace gantry
