// Runs a model by libllama and keeps what came out, bit by bit, to be compared with another run.
//
//     logits --model FILE --FLAG VALUE... ACTION[=VALUE]...
//
// Each context follows the script of actions: prompt=N and decode=N (tokens of each sequence),
// image=FILE, speak=N (frames of sound; each one by another speaker), clear (the memory), context
// (freed, and a new one), abort=N (the next action, after N polls), seconds=N (decode that long),
// wait (for a line on stdin), memory and statistics (of the plugin). What happens is told on
// stdout, one JSON object per line; rows of logits (or embeddings, or samples) go to OUT.k as raw
// floats. A failing action does not end the script: the status tells.
#include "llama.h"

#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "ggml-backend.h"
#include "ggml.h"
#include "lab/stream/options.h"
#include "mtmd-helper.h"
#include "mtmd.h"

namespace gantry::logits {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int kLoadFailed = 4;
constexpr int kImageBatch = 512;
constexpr size_t kVoiceSamples = 24'000;  // a second of the voice to be like
constexpr int kNoRow = -100, kNoProjector = -101, kNoPicture = -102, kRoundsDiffer = -103,
              kNoContext = -104;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// FNV-1a, 64 bits.
struct Checksum {
  uint64_t value = 1469598103934665603u;
  void add(const void* data, size_t size) {
    const auto* bytes = static_cast<const unsigned char*>(data);
    for (size_t i = 0; i < size; ++i) value = (value ^ bytes[i]) * 1099511628211u;
  }
};

void log_line(ggml_log_level level, const char* text, void* verbose) {
  if (level >= GGML_LOG_LEVEL_WARN || verbose != nullptr) std::fputs(text, stderr);
}

// Kibibytes of a line of smaps_rollup.
long from_smaps(const std::string& key) {
  std::ifstream file("/proc/self/smaps_rollup");
  std::string word;
  while (file >> word) {
    long value = 0;
    if (word == key && file >> value) return value;
  }
  return -1;
}

long entries(const char* folder) {
  std::error_code error;
  const std::filesystem::directory_iterator found(folder, error);
  return std::distance(begin(found), end(found));
}

void print_memory(int load) {
  malloc_trim(0);
  std::printf("{\"event\":\"memory\",\"load\":%d,\"rss_kib\":%ld,\"pss_kib\":%ld,"
              "\"anonymous_kib\":%ld,\"descriptors\":%ld,\"threads\":%ld}\n",
              load, from_smaps("Rss:"), from_smaps("Pss:"), from_smaps("Anonymous:"),
              entries("/proc/self/fd"), entries("/proc/self/task"));
  std::fflush(stdout);
}

// The plugin's own account, as it gives it; nothing is printed where no plugin is loaded.
void print_statistics() {
  using Statistics = size_t (*)(ggml_backend_reg_t, char*, size_t);
  for (size_t i = 0; i < ggml_backend_reg_count(); ++i) {
    ggml_backend_reg_t registry = ggml_backend_reg_get(i);
    void* found = ggml_backend_reg_get_proc_address(registry, "gantry_stream_statistics");
    if (found == nullptr) continue;
    std::vector<char> text(1 << 20);
    const size_t length = reinterpret_cast<Statistics>(found)(registry, text.data(), text.size());
    std::printf("{\"event\":\"statistics\",\"statistics\":%.*s}\n",
                static_cast<int>(std::min(length, text.size() - 1)), text.data());
    std::fflush(stdout);
  }
}

// Watches tensors in the middle of layers, as imatrix does, and hashes what is in them.
struct Watch {
  std::string part;
  Checksum sum;
  std::vector<char> bytes;

  static bool see(ggml_tensor* tensor, bool ask, void* self) {
    auto* watch = static_cast<Watch*>(self);
    if (ask) return std::strstr(tensor->name, watch->part.c_str()) != nullptr;
    if (!ggml_is_contiguous(tensor)) return true;
    watch->bytes.resize(ggml_nbytes(tensor));
    ggml_backend_tensor_get(tensor, watch->bytes.data(), 0, watch->bytes.size());
    watch->sum.add(watch->bytes.data(), watch->bytes.size());
    return true;
  }
};

struct FreeSound {
  void operator()(mtmd_helper_gen_audio* sound) const { mtmd_helper_gen_audio_free(sound); }
};

// One context and its script; lives on one thread.
class Runner {
 public:
  Runner(const Options& options, llama_model* model, int index, std::mutex* print)
      : options_(options), model_(model), index_(index), print_(print) {}
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;
  ~Runner() {
    if (file_ != nullptr) std::fclose(file_);
    if (vision_ != nullptr) mtmd_free(vision_);
    if (context_ != nullptr) llama_free(context_);
  }

  // False: no context could be made.
  bool start();
  void follow();

 private:
  bool make_context();
  int act(const Action& action);
  int prompt(int tokens);
  int decode(int steps);
  int decode_for(int64_t seconds);
  int image(const std::string& path);
  int speak(int frames);
  llama_token likeliest_code() const;
  bool open_projector();
  int feed(llama_batch& batch);
  void keep_row(const float* row);
  int keep_pooled();
  void add_token(llama_batch& batch, llama_token token, int position, int sequence, bool wanted);
  void print_action(const Action& action, int status, double seconds);

  const Options& options_;
  llama_model* model_;
  int index_;
  std::mutex* print_;
  llama_context* context_ = nullptr;
  mtmd_context* vision_ = nullptr;
  int speakers_ = 0;  // who have spoken
  FILE* file_ = nullptr;
  Watch watch_;
  Checksum sum_;
  size_t rows_ = 0;
  size_t width_ = 0;
  std::vector<llama_token> next_;  // (sequences,)
  std::vector<int> position_;      // (sequences,)
  int64_t polls_left_ = -1;
};

bool Runner::start() {
  width_ = static_cast<size_t>(options_.embeddings
                                   ? llama_model_n_embd_out(model_)
                                   : llama_vocab_n_tokens(llama_model_get_vocab(model_)));
  if (!options_.out.empty()) {
    file_ = std::fopen((options_.out + "." + std::to_string(index_)).c_str(), "wb");
    if (file_ == nullptr) return false;
  }
  return make_context();
}

bool Runner::make_context() {
  llama_context_params params = llama_context_default_params();
  params.n_ctx = static_cast<uint32_t>(options_.context);
  params.n_batch = static_cast<uint32_t>(options_.batch);
  params.n_ubatch = static_cast<uint32_t>(std::min(options_.batch, options_.micro_batch));
  params.n_seq_max = static_cast<uint32_t>(options_.sequences);
  params.n_threads = params.n_threads_batch = options_.threads;
  params.flash_attn_type =
      options_.flash ? LLAMA_FLASH_ATTN_TYPE_ENABLED : LLAMA_FLASH_ATTN_TYPE_DISABLED;
  params.embeddings = options_.embeddings;
  for (int type = 0; type < GGML_TYPE_COUNT; ++type) {
    const char* name = ggml_type_name(static_cast<ggml_type>(type));
    if (name == nullptr || options_.kv_type != name) continue;
    params.type_k = params.type_v = static_cast<ggml_type>(type);
  }
  if (!options_.callback.empty()) {
    watch_.part = options_.callback;
    params.cb_eval = Watch::see;
    params.cb_eval_user_data = &watch_;
  }
  context_ = llama_init_from_model(model_, params);
  if (context_ == nullptr) return false;
  if (!options_.lora.empty()) {
    llama_adapter_lora* adapter = llama_adapter_lora_init(model_, options_.lora.c_str());
    float scale = 1.0F;
    if (adapter == nullptr || llama_set_adapters_lora(context_, &adapter, 1, &scale) != 0) {
      return false;
    }
  }
  next_.assign(static_cast<size_t>(options_.sequences), 0);
  position_.assign(static_cast<size_t>(options_.sequences), 0);
  return true;
}

void Runner::follow() {
  for (const Action& action : options_.script) {
    const auto start = Clock::now();
    const bool measured = action.name == "prompt" || action.name == "decode" ||
                          action.name == "image" || action.name == "seconds" ||
                          action.name == "speak" ||
                          action.name == "context";
    const int status = act(action);
    if (!measured) continue;
    print_action(action, status, seconds_since(start));
    if (context_ == nullptr) return;
    polls_left_ = -1;
    llama_set_abort_callback(context_, nullptr, nullptr);
  }
}

int Runner::act(const Action& action) {
  if (action.name == "prompt") return prompt(static_cast<int>(action.number));
  if (action.name == "decode") return decode(static_cast<int>(action.number));
  if (action.name == "seconds") return decode_for(action.number);
  if (action.name == "image") return image(action.value);
  if (action.name == "speak") return speak(static_cast<int>(action.number));
  if (action.name == "clear") {
    if (llama_get_memory(context_) != nullptr) llama_memory_clear(llama_get_memory(context_), true);
    position_.assign(position_.size(), 0);
  }
  if (action.name == "context") {
    llama_free(std::exchange(context_, nullptr));
    if (!make_context()) return kNoContext;
  }
  if (action.name == "abort") {
    polls_left_ = action.number;
    llama_set_abort_callback(
        context_, [](void* left) { return --*static_cast<int64_t*>(left) < 0; }, &polls_left_);
  }
  if (index_ != 0) return 0;  // what follows is of the process
  const std::lock_guard lock(*print_);
  if (action.name == "memory") print_memory(0);
  if (action.name == "statistics") print_statistics();
  if (action.name == "wait") {
    std::printf("{\"event\":\"waiting\"}\n");
    std::fflush(stdout);
    while (true) {
      char byte = 0;
      if (read(STDIN_FILENO, &byte, 1) != 1 || byte == '\n') break;
    }
  }
  return 0;
}

void Runner::add_token(llama_batch& batch, llama_token token, int position, int sequence,
                       bool wanted) {
  const int at = batch.n_tokens++;
  batch.token[at] = token;
  batch.pos[at] = position;
  batch.n_seq_id[at] = 1;
  batch.seq_id[at][0] = sequence;
  batch.logits[at] = wanted ? 1 : 0;
}

// Keeps the rows that the batch asked for, and the likeliest next token of each sequence.
int Runner::feed(llama_batch& batch) {
  const bool encode = llama_get_memory(context_) == nullptr;
  const int status = encode ? llama_encode(context_, batch) : llama_decode(context_, batch);
  if (status != 0) return status;
  if (options_.embeddings && llama_pooling_type(context_) != LLAMA_POOLING_TYPE_NONE) {
    return keep_pooled();
  }
  for (int i = 0; i < batch.n_tokens; ++i) {
    if (batch.logits[i] == 0) continue;
    const float* row = options_.embeddings ? llama_get_embeddings_ith(context_, i)
                                           : llama_get_logits_ith(context_, i);
    if (row == nullptr) return kNoRow;
    keep_row(row);
    next_[static_cast<size_t>(batch.seq_id[i][0])] =
        static_cast<llama_token>(std::max_element(row, row + width_) - row);
  }
  return 0;
}

void Runner::keep_row(const float* row) {
  sum_.add(row, width_ * sizeof(float));
  if (file_ != nullptr) std::fwrite(row, sizeof(float), width_, file_);
  ++rows_;
}

int Runner::keep_pooled() {
  for (int sequence = 0; sequence < options_.sequences; ++sequence) {
    const float* row = llama_get_embeddings_seq(context_, sequence);
    if (row == nullptr) return kNoRow;
    keep_row(row);
  }
  return 0;
}

int Runner::prompt(int tokens) {
  const int sequences = options_.sequences;
  const int vocabulary = llama_vocab_n_tokens(llama_model_get_vocab(model_));
  const int first = std::min(300, vocabulary / 4);  // past the control and byte tokens
  llama_batch batch = llama_batch_init(options_.batch, 0, 1);
  int status = 0;
  for (int sequence = 0; sequence < sequences && status == 0; ++sequence) {
    auto seed = static_cast<uint32_t>(1234 + 101 * index_ + 7 * sequence);
    int& position = position_[static_cast<size_t>(sequence)];
    for (int i = 0; i < tokens && status == 0; ++i) {
      seed = seed * 1664525u + 1013904223u;
      const auto token = first + static_cast<llama_token>(
                                     (seed >> 8) % static_cast<uint32_t>(vocabulary - 2 * first));
      const bool wanted = options_.embeddings || i >= tokens - options_.rows;
      add_token(batch, token, position++, sequence, wanted);
      const bool last = sequence + 1 == sequences && i + 1 == tokens;
      if (batch.n_tokens < options_.batch && !last) continue;
      status = feed(batch);
      batch.n_tokens = 0;
    }
  }
  llama_batch_free(batch);
  return status;
}

int Runner::decode(int steps) {
  llama_batch batch = llama_batch_init(options_.sequences, 0, 1);
  int status = 0;
  for (int step = 0; step < steps && status == 0; ++step) {
    batch.n_tokens = 0;
    for (int sequence = 0; sequence < options_.sequences; ++sequence) {
      const auto at = static_cast<size_t>(sequence);
      add_token(batch, next_[at], position_[at]++, sequence, true);
    }
    status = feed(batch);
  }
  llama_batch_free(batch);
  return status;
}

// Prompts and decodes over and over, with the memory printed twenty times in all. The rows of each
// round must be those of the first; they are not written.
int Runner::decode_for(int64_t seconds) {
  const auto start = Clock::now();
  const auto total = static_cast<double>(seconds);
  double shown = 0;
  uint64_t first = 0;
  if (file_ != nullptr) std::fclose(std::exchange(file_, nullptr));
  while (seconds_since(start) < total) {
    llama_memory_clear(llama_get_memory(context_), true);
    position_.assign(position_.size(), 0);
    sum_ = Checksum{};
    int status = prompt(32);
    if (status == 0) status = decode(16);
    if (status != 0) return status;
    if (first == 0) first = sum_.value;
    if (first != sum_.value) return kRoundsDiffer;
    if (index_ != 0 || seconds_since(start) < shown) continue;
    shown += total / 20;
    const std::lock_guard lock(*print_);
    print_memory(0);
  }
  return 0;
}

bool Runner::open_projector() {
  if (vision_ != nullptr) return true;
  mtmd_context_params params = mtmd_context_params_default();
  params.use_gpu = options_.layers > 0;
  params.print_timings = false;
  params.warmup = false;
  params.n_threads = options_.threads;
  params.flash_attn_type =
      options_.flash ? LLAMA_FLASH_ATTN_TYPE_ENABLED : LLAMA_FLASH_ATTN_TYPE_DISABLED;
  vision_ = mtmd_init_from_file(options_.projector.c_str(), model_, params);
  return vision_ != nullptr;
}

// Of a backbone that writes the first code of each frame; of others nothing is asked.
llama_token Runner::likeliest_code() const {
  constexpr llama_token kCodes = 2048;
  if (mtmd_gen_audio_get_info(vision_).type != MTMD_GEN_AUDIO_TYPE_QWEN3TTS) {
    return LLAMA_TOKEN_NULL;
  }
  const llama_vocab* vocab = llama_model_get_vocab(model_);
  const float* logits = llama_get_logits_ith(context_, -1);
  llama_token first = 0;
  while (std::string_view(llama_vocab_get_text(vocab, first)) != "<|codec_0|>") ++first;
  return static_cast<llama_token>(
      std::max_element(logits + first, logits + first + kCodes) - logits);
}

// A sentence in the voice of another pitch each time; samples are rows of one number.
int Runner::speak(int frames) {
  if (!open_projector()) return kNoProjector;
  width_ = 1;
  const int speaker = speakers_++;
  std::vector<float> voice(kVoiceSamples);
  for (size_t i = 0; i < voice.size(); ++i) {
    voice[i] = 0.3F * std::sin(0.02F * static_cast<float>(speaker + 1) * static_cast<float>(i));
  }
  mtmd_bitmap* reference = mtmd_bitmap_init_from_audio(voice.size(), voice.data());
  const std::string text = "Speaker " + std::string(1, static_cast<char>('a' + speaker)) +
                           " has something to say, and says it.";
  const std::unique_ptr<mtmd_helper_gen_audio, FreeSound> owner(
      mtmd_helper_gen_audio_init(context_, vision_));
  mtmd_helper_gen_audio* sound = owner.get();
  if (sound == nullptr) return kNoProjector;
  mtmd_helper_gen_audio_inp input{};
  input.prompt = text.c_str();
  input.prompt_len = text.size();
  if (mtmd_support_audio(vision_)) input.speaker_ref = reference;
  input.top_p = 1;
  input.seed = static_cast<uint32_t>(7 + speaker);
  input.out_type = MTMD_HELPER_GEN_AUDIO_OUTTYPE_PCM;
  int status = mtmd_helper_gen_audio_set_input(sound, &input);
  mtmd_bitmap_free(reference);
  for (int left = 1; status == 0 && left > 0;) {
    left = mtmd_helper_gen_audio_step_prompt(sound, options_.batch);
    if (left < 0) status = left;
  }
  const float* state = status == 0 ? llama_get_embeddings_ith(context_, -1) : nullptr;
  bool stop = false;
  for (int i = 0; status == 0 && i < frames && state != nullptr && !stop; ++i) {
    const float* next = nullptr;
    status = mtmd_helper_gen_audio_step_gen(sound, likeliest_code(), state, &next, &stop);
    state = next;
  }
  int32_t rate = 0;
  const char* data = nullptr;
  size_t bytes = 0;
  if (status == 0) {
    status = mtmd_helper_gen_audio_get_output(sound, &rate, &data, &bytes, nullptr);
  }
  if (status != 0) return status;
  sum_.add(data, bytes);
  if (file_ != nullptr) std::fwrite(data, 1, bytes, file_);
  rows_ += bytes / sizeof(float);
  llama_memory_clear(llama_get_memory(context_), true);
  return bytes == 0 ? kNoRow : 0;
}

// The picture, then a question about it, through the projector.
int Runner::image(const std::string& path) {
  if (!open_projector()) return kNoProjector;
  const mtmd_helper_bitmap_wrapper picture = mtmd_helper_bitmap_init_from_file(
      vision_, path.c_str(), false, mtmd_helper_init_opt_default());
  if (picture.bitmap == nullptr) return kNoPicture;
  const std::string text = std::string(mtmd_default_marker()) + "read:";
  const mtmd_input_text input = {text.c_str(), text.size(), true, true};
  const mtmd_bitmap* bitmaps[] = {picture.bitmap};
  mtmd_input_chunks* chunks = mtmd_input_chunks_init();
  int status = mtmd_tokenize(vision_, chunks, &input, bitmaps, 1);
  llama_pos past = 0;
  if (status == 0) {
    status = mtmd_helper_eval_chunks(vision_, context_, chunks, 0, 0, kImageBatch, true, &past);
  }
  position_[0] = past;
  mtmd_input_chunks_free(chunks);
  mtmd_bitmap_free(picture.bitmap);
  if (status != 0) return status;
  const float* row = llama_get_logits_ith(context_, -1);
  keep_row(row);
  next_[0] = static_cast<llama_token>(std::max_element(row, row + width_) - row);
  return 0;
}

void Runner::print_action(const Action& action, int status, double seconds) {
  const std::lock_guard lock(*print_);
  std::printf("{\"event\":\"action\",\"context\":%d,\"action\":\"%s\",\"status\":%d,\"rows\":%zu,"
              "\"width\":%zu,\"checksum\":\"%016llx\",\"watched\":\"%016llx\",\"seconds\":%.6f}\n",
              index_, action.name.c_str(), status, rows_, width_,
              static_cast<unsigned long long>(sum_.value),
              static_cast<unsigned long long>(watch_.sum.value), seconds);
  if (file_ != nullptr) std::fflush(file_);
  std::fflush(stdout);
}

// A server of ggml's RPC backend becomes a device, as --rpc does it in llama.cpp's programs.
bool add_server(const Options& options) {
  if (options.rpc.empty()) return true;
  ggml_backend_reg_t rpc = ggml_backend_reg_by_name("RPC");
  if (rpc == nullptr && !options.rpc_library.empty()) {
    rpc = ggml_backend_load(options.rpc_library.c_str());
  }
  if (rpc == nullptr) return false;
  using AddServer = ggml_backend_reg_t (*)(const char*);
  void* add = ggml_backend_reg_get_proc_address(rpc, "ggml_backend_rpc_add_server");
  if (add == nullptr) return false;
  ggml_backend_reg_t server = reinterpret_cast<AddServer>(add)(options.rpc.c_str());
  if (server == nullptr) return false;
  ggml_backend_register(server);
  return true;
}

llama_model* load_model(const Options& options, const std::string& path) {
  llama_model_params params = llama_model_default_params();
  params.n_gpu_layers = options.layers;
  params.use_extra_bufts = options.repack;
  params.load_mode = llama_load_mode_from_str(options.load.c_str());
  ggml_backend_dev_t devices[2] = {nullptr, nullptr};
  if (!options.device.empty()) {
    devices[0] = ggml_backend_dev_by_name(options.device.c_str());
    if (devices[0] == nullptr) {
      std::fprintf(stderr, "logits: there is no device %s\n", options.device.c_str());
      return nullptr;
    }
    params.devices = devices;
  }
  const llama_model_tensor_buft_override overrides[2] = {
      {options.override_pattern.c_str(),
       ggml_backend_dev_buffer_type(ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU))},
      {nullptr, nullptr}};
  if (!options.override_pattern.empty()) params.tensor_buft_overrides = overrides;
  return llama_model_load_from_file(path.c_str(), params);
}

// Loads, runs the script in every context, and frees everything again.
int run(const Options& options) {
  std::vector<llama_model*> models;
  std::vector<std::unique_ptr<Runner>> runners;
  std::mutex print;
  bool good = true;
  for (const std::string& path : options.models) {
    models.push_back(load_model(options, path));
    good = good && models.back() != nullptr;
    std::printf("{\"event\":\"loaded\",\"ok\":%s}\n", models.back() != nullptr ? "true" : "false");
    std::fflush(stdout);
  }
  for (llama_model* model : models) {
    for (int i = 0; good && i < options.contexts; ++i) {
      const int index = static_cast<int>(runners.size());
      runners.push_back(std::make_unique<Runner>(options, model, index, &print));
      good = runners.back()->start();
    }
  }
  if (good) {
    std::vector<std::thread> threads;
    for (auto& runner : runners) threads.emplace_back(&Runner::follow, runner.get());
    for (std::thread& thread : threads) thread.join();
    print_statistics();
  }
  runners.clear();
  for (llama_model* model : models) llama_model_free(model);
  return good ? 0 : kLoadFailed;
}

}  // namespace
}  // namespace gantry::logits

int main(int count, char** words) {
  const auto options = gantry::logits::parse_options(count, words);
  if (!options) return 2;
  void* verbose = options->verbose ? const_cast<char*>("v") : nullptr;
  llama_log_set(gantry::logits::log_line, verbose);
  mtmd_helper_log_set(gantry::logits::log_line, verbose);
  ggml_backend_load_all();
  llama_backend_init();
  if (!gantry::logits::add_server(*options)) {
    std::fprintf(stderr, "logits: no server at %s\n", options->rpc.c_str());
    return gantry::logits::kLoadFailed;
  }
  int status = 0;
  for (int load = 0; load < options->loads && status == 0; ++load) {
    status = gantry::logits::run(*options);
    if (options->loads > 1) gantry::logits::print_memory(load);
  }
  llama_backend_free();
  return status;
}
