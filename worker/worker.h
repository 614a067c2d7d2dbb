// One process per loaded model. A Worker is started, asked, and gone: destroying it kills the
// process group and reaps it, so that memory is back when the object is.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "audit/machine.h"
#include "base/os.h"
#include "http/http.h"
#include "plan/plan.h"
#include "worker/segment.h"

namespace gantry {

// What gantry-voice and gantry-espeak are to load: an engine of model/voice_keys.h.
struct VoiceSpec {
  std::string engine;  // "vits"; "pyannote" tells speakers apart
  std::vector<std::pair<std::string, std::string>> options;  // by sherpa-onnx's names
  std::vector<std::pair<std::string, std::string>> voices;   // a name, and what the engine calls it
  SpeakerWish speakers;  // of requests that say nothing
};

struct WorkerSpec {
  std::string model;  // its name, for logs
  EngineKind engine = EngineKind::kLlama;
  std::string file;    // model file
  std::string mmproj;  // vision encoder; empty: none
  uint32_t image_tokens = 0;  // the largest picture, larger ones are made smaller; 0: the model's
  std::string draft;   // kLlama: a small model that guesses; empty: none
  std::vector<std::string> lora;  // kLlama: adapters, all applied
  bool embeddings = false;
  std::string pooling;  // kLlama with embeddings: "mean", "cls", "last"; empty: the model's own
  std::string command;  // kCommand: a shell-like line with ${PORT}; run without a shell
  std::string proxy;    // kCommand: where it answers; empty: http://127.0.0.1:${PORT}
  std::string check_endpoint = "/health";  // kCommand: 200 there means ready; "none": no check
  std::vector<std::pair<std::string, std::string>> env;
  Placement placement;  // flags derive from it; context is tokens per sequence
  CacheType cache_k = CacheType::kF16;
  CacheType cache_v = CacheType::kF16;
  uint32_t parallel = 1;
  uint32_t ubatch = 512;
  bool flash_attention = false;
  std::vector<std::string> devices;  // the engine's names ("CUDA0"); empty: its choice
  std::string language = "auto";     // kWhisper
  VoiceSpec voice;  // kVoice; of kLlama and kCommand for sound, its engine is the model's kind
  std::string encoder = "none";      // kWhisper: OpenVINO's, as speech_argv() hands it on
  std::string trace_file;            // kLlama that streams: a Chrome trace, written when it ends
  std::function<Result<void>(int pid)> gate;  // see ProcessSpec
};

struct WorkerContext {
  std::string run_dir;     // mode 0700, short: unix sockets live here
  std::string log_dir;     // one rotated log a model
  std::string engine_dir;  // folder of llama-server and ggml's backends
  std::string worker_exe;  // gantry-worker; gantry-decode and the plugins are beside it
  const Cpu* cpu = nullptr;  // null: one thread, all processors
  std::string encoder_dir = {};  // encoders made for OpenVINO, and what it compiled; empty: none
};

// What a streaming worker has moved since it started, from its statistics page.
struct StreamCounters {
  uint64_t layers = 0, layers_streamed = 0;
  uint64_t resident_bytes = 0, ring_bytes = 0, expert_cache_bytes = 0, host_bytes = 0;
  uint64_t kv_compute_bytes = 0, budget_bytes = 0;
  uint64_t disk_bytes = 0, copy_bytes = 0;
  double disk_s = 0, copy_s = 0, stall_s = 0, compute_s = 0;
  uint64_t passes = 0, expert_hits = 0, expert_misses = 0, errors = 0;
  double overlap() const;  // of the shorter of moving and computing, the share hidden; 0..1
};

struct Progress {
  double fraction = 0;  // 0..1
  Millis heard{0};  // of a recording: all segments of what lies before it were told earlier
};

// One caller at a time for ready() and transcribe(); alive(), stop() and pid() may be called from
// another thread meanwhile, and a stop() makes those return with an Error.
class Worker {
 public:
  virtual ~Worker() = default;
  virtual int pid() const = 0;
  // Waits until it can answer. kWorkerFailed with the last log lines when it dies first,
  // kTimeout after kWorkerReadyMax, kCancelled.
  [[nodiscard]] virtual Result<void> ready(const http::Cancel& cancel) = 0;
  // llama and command engines: where its HTTP is.
  virtual const http::Address& address() const = 0;
  // whisper engine: a 16 kHz mono 16-bit wav; segments as they come, text never empty. Cuts at
  // silences to the model's window; a recording without speech gives none. From hearing.from on
  // they are what the whole recording gives. After kCancelled it takes the next recording; after
  // kWorkerFailed or kTimeout it is gone.
  [[nodiscard]] virtual Result<std::vector<Segment>> transcribe(
      const Hearing& hearing, const http::Cancel& cancel,
      const std::function<void(const Segment&, Progress)>& on_segment) = 0;
  // kVoice alone, kUnsupported on others; as transcribe() in all else. Speakers are numbered in the
  // order in which they are first heard.
  [[nodiscard]] virtual Result<std::vector<SpeakerTurn>> diarize(
      const std::string& wav, const SpeakerWish& wish, const http::Cancel& cancel,
      const std::function<void(Progress)>& on_progress);
  // Sound as it is made: 16-bit mono at sound_rate(). False from on_pcm ends it with kCancelled.
  // kNotFound: a voice that it does not have, with those that it has.
  [[nodiscard]] virtual Result<void> speak(
      const Utterance& utterance, const http::Cancel& cancel,
      const std::function<bool(std::string_view pcm)>& on_pcm);
  virtual uint32_t sound_rate() const { return 0; }  // once it is ready; 0: it makes none
  // whisper engine: devices that left off encoding in the recording that was transcribed last.
  virtual std::vector<EncoderChange> encoder_changes() const { return {}; }
  // Still there? An Error with signal and last log lines when it died by itself.
  [[nodiscard]] virtual Result<void> alive() = 0;
  // Asks, then kills; returns when the process group is gone.
  virtual void stop() = 0;
  // Nothing where it does not stream, or has not said anything yet. From any thread, at once.
  virtual std::optional<StreamCounters> stream_counters() const { return std::nullopt; }
};

[[nodiscard]] Result<std::unique_ptr<Worker>> start_worker(Os& os, const WorkerContext& context,
                                                           const WorkerSpec& spec);

// Where the log of a model's workers is. Names are not paths: whatever is no letter, digit, dot or
// dash is replaced, and a checksum keeps two such names apart.
std::string worker_log_path(const std::string& log_dir, std::string_view model);

// What turns a recording into the wav that transcribe() wants: gantry-decode, which reads wav,
// aiff, flac, ogg and mp3 and takes 3 MiB of memory, or ffmpeg, any recording, 50 MiB.
enum class MediaTool { kSmall, kFfmpeg };

// In one pass and constant memory, in a process of its own (untrusted bytes); `gate`: see
// ProcessSpec. kUnsupported: not for this tool (kSmall: try kFfmpeg); kCorrupt: no audio in it;
// kTooLarge: longer than kAudioMax. Nothing is left at `wav` on failure.
[[nodiscard]] Result<Millis> decode_audio(Os& os, const WorkerContext& context, MediaTool tool,
                                          const std::string& file, const std::string& wav,
                                          const http::Cancel& cancel,
                                          const std::function<Result<void>(int pid)>& gate);

}  // namespace gantry
