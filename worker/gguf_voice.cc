// llama.cpp's own audio generation, frame by frame.
#include "worker/gguf_voice.h"

#include <ggml-backend.h>
#include <llama.h>
#include <mtmd-helper.h>
#include <mtmd.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <span>
#include <vector>

#include "base/os.h"
#include "model/card.h"
#include "worker/call_server.h"

namespace gantry {

namespace {

// Pocket TTS cuts text into chunks of 50 tokens, each with its sound at most 16 s of 12.5 frames,
// behind the voice: half of this would do. Qwen3-TTS has all of an utterance before it.
constexpr uint32_t kContext = 1024, kQwenContext = 2048;
constexpr int kBatch = 256;
constexpr uint32_t kSeed = 1;
// The decoder makes sound of so many frames at once, so that asking between them changes nothing.
constexpr int kWindowFrames = 8, kQwenWindowFrames = 72;
constexpr int kFramesMax = 6'000;  // eight minutes: no sentence is as long
// As Qwen's generation_config.json draws codes.
constexpr int kQwenTopK = 50;
constexpr float kQwenTemperature = 0.9F, kQwenPenalty = 1.05F;
constexpr int32_t kQwenCodes = 2048;  // rows of the first codebook; behind them are control codes
constexpr const char* kStreamDevice = "Gantry0";

struct ModelFree {
  void operator()(llama_model* p) const { llama_model_free(p); }
};
struct ContextFree {
  void operator()(llama_context* p) const { llama_free(p); }
};
struct ProjectorFree {
  void operator()(mtmd_context* p) const { mtmd_free(p); }
};
struct PictureFree {
  void operator()(mtmd_bitmap* p) const { mtmd_bitmap_free(p); }
};
struct SamplerFree {
  void operator()(llama_sampler* p) const { llama_sampler_free(p); }
};
struct SoundFree {
  void operator()(mtmd_helper_gen_audio* p) const { mtmd_helper_gen_audio_free(p); }
};

struct Loaded {
  std::unique_ptr<llama_model, ModelFree> model;
  std::unique_ptr<llama_context, ContextFree> context;
  std::unique_ptr<mtmd_context, ProjectorFree> projector;
  std::unique_ptr<mtmd_bitmap, PictureFree> reference;  // may be null
  std::unique_ptr<mtmd_helper_gen_audio, SoundFree> sound;
  std::unique_ptr<llama_sampler, SamplerFree> sampler;  // of a backbone that writes codes; or null
  std::string language;
  uint32_t rate = 0;
  int window = kWindowFrames;
};

void to_log(ggml_log_level level, const char* text, void*) {
  if (level < GGML_LOG_LEVEL_WARN) return;
  const std::string_view line(text);
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
}

std::string pcm_of(std::span<const float> samples) {
  std::string pcm;
  for (const float raw : samples) {
    const float sample = std::isfinite(raw) ? std::clamp(raw, -1.0F, 1.0F) : 0.0F;
    const auto value = static_cast<uint16_t>(std::lrint(sample * 32767.0F));
    pcm += static_cast<char>(value & 0xFF);
    pcm += static_cast<char>(value >> 8);
  }
  return pcm;
}

class LlamaVoice final : public GgufVoice {
 public:
  explicit LlamaVoice(Loaded loaded) : on_(std::move(loaded)) {}

  uint32_t rate() const override { return on_.rate; }

  Result<void> speak(const Utterance& utterance, const std::atomic<bool>& cancel,
                     const std::function<void(std::string_view)>& on_pcm) override {
    if (!utterance.voice.empty() && utterance.voice != "default") {
      return fail(Code::kNotFound, "there is no voice " + utterance.voice,
                  "there is default; name another by reference_audio of a model of its own");
    }
    if (utterance.speed != 1) {
      return fail(Code::kUnsupported, "this voice has one speed", "leave speed out");
    }
    llama_memory_clear(llama_get_memory(on_.context.get()), true);
    if (Result<void> begun = begin(utterance.text); !begun) return begun;
    const float* state = llama_get_embeddings_ith(on_.context.get(), -1);
    size_t told = 0;
    bool stop = false;
    for (int frame = 1; state != nullptr && !stop && frame <= kFramesMax && has_room(); ++frame) {
      if (cancel) return fail(Code::kCancelled, "cancelled");
      const llama_token code =
          on_.sampler ? llama_sampler_sample(on_.sampler.get(), on_.context.get(), -1)
                      : LLAMA_TOKEN_NULL;
      const float* next = nullptr;
      if (mtmd_helper_gen_audio_step_gen(on_.sound.get(), code, state, &next, &stop) != 0) {
        return broken();
      }
      state = next;
      if (frame % on_.window != 0) continue;
      if (Result<void> more = tell(&told, on_pcm); !more) return more;
    }
    if (Result<void> rest = tell(&told, on_pcm); !rest) return rest;
    if (told > 0) return {};
    return fail(Code::kWorkerFailed, "the engine made no sound of this text");
  }

 private:
  static tl::unexpected<Error> broken() {
    return fail(Code::kWorkerFailed, "llama.cpp failed while it spoke", "see the model's log");
  }

  // A frame is a position of the context; Pocket TTS begins anew before it is full.
  bool has_room() const {
    if (!on_.sampler) return true;
    const llama_pos last = llama_memory_seq_pos_max(llama_get_memory(on_.context.get()), 0);
    return last + 1 < static_cast<llama_pos>(kQwenContext);
  }

  // Noise is drawn on from one utterance to the next, and anew only where the seed changes: a
  // frame of another seed, thrown away, makes the same text the same sound.
  bool seed_anew() {
    const auto width = static_cast<size_t>(llama_model_n_embd(on_.model.get()));
    std::vector<float> nothing(width, 0.0F);
    mtmd_gen_inp inp = mtmd_gen_inp_default(on_.projector.get());
    inp.type = MTMD_GEN_PROCESS_TYPE_GEN_CODE;
    inp.embd = nothing.data();
    inp.seed = kSeed + 1;
    mtmd_gen_out out{};
    return mtmd_gen_audio_process(on_.projector.get(), &inp, &out) == 0;
  }

  Result<void> begin(const std::string& text) {
    if (!seed_anew()) return broken();
    if (on_.sampler) llama_sampler_reset(on_.sampler.get());
    mtmd_helper_gen_audio_inp input{};
    input.prompt = text.c_str();
    input.prompt_len = text.size();
    input.speaker_ref = on_.reference.get();
    if (!on_.language.empty()) input.lang = on_.language.c_str();
    input.top_p = 1;
    input.seed = kSeed;
    input.out_type = MTMD_HELPER_GEN_AUDIO_OUTTYPE_PCM;
    if (mtmd_helper_gen_audio_set_input(on_.sound.get(), &input) != 0) {
      return fail(Code::kWorkerFailed, "llama.cpp cannot read this text",
                  "see the model's log");
    }
    for (int32_t left = 1; left > 0;) {
      left = mtmd_helper_gen_audio_step_prompt(on_.sound.get(), kBatch);
      if (left < 0) return broken();
    }
    return {};
  }

  // What has come since `told` samples.
  Result<void> tell(size_t* told, const std::function<void(std::string_view)>& on_pcm) {
    int32_t rate = 0;
    const char* data = nullptr;
    size_t bytes = 0;
    if (mtmd_helper_gen_audio_get_output(on_.sound.get(), &rate, &data, &bytes, nullptr) != 0) {
      return broken();
    }
    const std::span all(reinterpret_cast<const float*>(data), bytes / sizeof(float));
    constexpr size_t kPiece = kSpeechPcmMax / 2;
    while (*told < all.size()) {
      const size_t count = std::min(kPiece, all.size() - *told);
      on_pcm(pcm_of(all.subspan(*told, count)));
      *told += count;
    }
    return {};
  }

  Loaded on_;
};

// The model's architecture.
Result<std::string> check_file(const std::string& path, bool projector) {
  const std::unique_ptr<Os> os = make_real_os();
  const Result<std::unique_ptr<MappedFile>> file = os->map_file(path);
  if (!file) return fail(file.error());
  const Result<ModelCard> card = read_card((*file)->bytes());
  if (!card) return fail(card.error());
  const std::string& is = card->architecture;
  if (projector ? is == "clip" : is == "pockettts" || is == "qwen3tts") return is;
  return fail(Code::kUnsupported,
              base_name(path) +
                  (projector ? " is no projector" : " is no Pocket TTS model and no Qwen3-TTS"),
              "convert it with llama.cpp's convert_hf_to_gguf.py, with --mmproj for the projector");
}

// Codes of the first codebook and the end, drawn from a seed of its own each time.
std::unique_ptr<llama_sampler, SamplerFree> make_sampler(const llama_model* model) {
  const llama_vocab* vocab = llama_model_get_vocab(model);
  const llama_token end = llama_vocab_eos(vocab), all = llama_vocab_n_tokens(vocab);
  llama_token first = all;
  for (llama_token t = 0; t < all && first == all; ++t) {
    if (std::string_view(llama_vocab_get_text(vocab, t)) == "<|codec_0|>") first = t;
  }
  std::vector<llama_logit_bias> silent;
  for (llama_token t = 0; t < all; ++t) {
    const bool code = t >= first && t - first < kQwenCodes;
    if (!code && t != end) silent.push_back({t, -INFINITY});
  }
  std::unique_ptr<llama_sampler, SamplerFree> chain(
      llama_sampler_chain_init(llama_sampler_chain_default_params()));
  for (llama_sampler* part :
       {llama_sampler_init_logit_bias(all, static_cast<int32_t>(silent.size()), silent.data()),
        llama_sampler_init_penalties(all, kQwenContext, kQwenPenalty, 0, 0),
        llama_sampler_init_top_k(kQwenTopK),
        llama_sampler_init_temp(kQwenTemperature), llama_sampler_init_dist(kSeed)}) {
    llama_sampler_chain_add(chain.get(), part);
  }
  return chain;
}

Result<ggml_backend_dev_t> open_backends(const GgufVoiceOptions& options) {
  ::unsetenv("GGML_BACKEND_PATH");
  ggml_backend_load_all_from_path(options.engine_dir.c_str());
  ggml_backend_dev_t cpu = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
  if (cpu == nullptr) {
    return fail(Code::kUnavailable, "no ggml backend in " + options.engine_dir,
                "run ./run --setup");
  }
  if (options.stream.empty()) return cpu;
  ::setenv("GANTRY_STREAM_PRESET", options.stream.c_str(), 1);
  ggml_backend_dev_t device = ggml_backend_load(options.plugin.c_str()) == nullptr
                                  ? nullptr
                                  : ggml_backend_dev_by_name(kStreamDevice);
  if (device != nullptr) return device;
  return fail(Code::kUnavailable, "the streamer does not start", "see the model's log");
}

Error not_loaded(const GgufVoiceOptions& options) {
  return {Code::kCorrupt, "llama.cpp cannot load " + base_name(options.model) + " with " +
                              base_name(options.projector),
          "check `file` and `projector` of the model; its log says more"};
}

}  // namespace

Result<std::unique_ptr<GgufVoice>> load_gguf_voice(const GgufVoiceOptions& options) {
  const Result<std::string> is = check_file(options.model, false);
  if (!is) return fail(is.error());
  if (const auto sound = check_file(options.projector, true); !sound) return fail(sound.error());
  const bool qwen = *is == "qwen3tts";
  llama_log_set(to_log, nullptr);
  mtmd_helper_log_set(to_log, nullptr);
  const Result<ggml_backend_dev_t> device = open_backends(options);
  if (!device) return fail(device.error());
  ggml_backend_dev_t devices[2] = {options.stream.empty() ? nullptr : *device, nullptr};
  llama_model_params model_params = llama_model_default_params();
  model_params.devices = devices;
  model_params.n_gpu_layers = options.stream.empty() ? 0 : 99;
  Loaded on;
  on.model.reset(llama_model_load_from_file(options.model.c_str(), model_params));
  if (!on.model) return fail(not_loaded(options));
  llama_context_params params = llama_context_default_params();
  params.n_ctx = qwen ? kQwenContext : kContext;
  params.n_batch = params.n_ubatch = kBatch;
  params.n_threads = params.n_threads_batch = options.threads;
  params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
  params.embeddings = true;
  on.context.reset(llama_init_from_model(on.model.get(), params));
  if (!on.context) return fail(not_loaded(options));
  mtmd_context_params projector = mtmd_context_params_default();
  projector.use_gpu = false;
  projector.print_timings = false;
  projector.n_threads = options.threads;
  on.projector.reset(mtmd_init_from_file(options.projector.c_str(), on.model.get(), projector));
  if (!on.projector) return fail(not_loaded(options));
  const mtmd_gen_audio_info info = mtmd_gen_audio_get_info(on.projector.get());
  if (info.type != (qwen ? MTMD_GEN_AUDIO_TYPE_QWEN3TTS : MTMD_GEN_AUDIO_TYPE_POCKETTTS) ||
      info.sample_rate < 1) {
    return fail(Code::kUnsupported,
                base_name(options.projector) + " makes no sound of " + base_name(options.model),
                "name the projector that belongs to the model");
  }
  if (qwen) {
    on.sampler = make_sampler(on.model.get());
    on.window = kQwenWindowFrames;
    on.language = options.language;
  }
  on.rate = static_cast<uint32_t>(info.sample_rate);
  if (!options.reference_audio.empty()) {
    const mtmd_helper_bitmap_wrapper read = mtmd_helper_bitmap_init_from_file(
        on.projector.get(), options.reference_audio.c_str(), false,
        mtmd_helper_init_opt_default());
    on.reference.reset(read.bitmap);
    if (!on.reference) {
      return fail(Code::kCorrupt, options.reference_audio + " is no recording of a voice",
                  "give a wav, mp3 or flac as reference_audio");
    }
  }
  on.sound.reset(mtmd_helper_gen_audio_init(on.context.get(), on.projector.get()));
  if (!on.sound) return fail(not_loaded(options));
  return std::make_unique<LlamaVoice>(std::move(on));
}

int serve_gguf_voice(const GgufVoiceOptions& options, int in, int out) {
  const Result<std::unique_ptr<GgufVoice>> voice = load_gguf_voice(options);
  if (!voice) {
    say_speech(out, voice.error());
    return exit_code(voice.error().code);
  }
  const auto answer = [&voice](const SpeechCall& call, const std::atomic<bool>& cancel,
                               const auto& tell) -> Result<SpeechDone> {
    if (!call.utterance) return fail(other_call("speaks"));
    uint64_t bytes = 0;
    const Result<void> done =
        (*voice)->speak(*call.utterance, cancel, [&](std::string_view pcm) {
          bytes += pcm.size();
          tell(SpeechProgress{.pcm = std::string(pcm)});
        });
    if (!done) return fail(done.error());
    return SpeechDone{Millis(static_cast<int64_t>(bytes / 2 * 1000 / (*voice)->rate()))};
  };
  answer_calls(SpeechReady{Millis(0), (*voice)->rate()}, in, out, answer);
  return 0;
}

}  // namespace gantry
