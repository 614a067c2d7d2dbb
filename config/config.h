// Config: what the user declared, once. YAML with llama-swap's `models:` and `groups:` accepted as
// they stand; the only room that sees yaml-cpp.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/os.h"
#include "model/card.h"

namespace gantry {

// What becomes of a worker that holds more than it was given.
enum class Growth {
  kWarn,  // it is told of
  kStop,  // it is stopped, what it did fails
  kMove,  // it finishes, is unloaded, and is planned with what it needs
};

// How much a model matters, and what may be changed to make it fit (plan/demand.h says it
// precisely). Words are checked when the file is read.
struct DemandConfig {
  std::string purpose;       // for a person
  std::string latency;       // "interactive", "batch"
  std::string device;        // the only one it may compute on
  std::string compute_type;  // "Q4_K": the file of that type, among the alternatives too
  double priority = 1, share = 1;
  std::optional<uint32_t> prompt_tokens, output_tokens, audio_s;  // of one use
  std::vector<std::string> allow;     // "q8_0", "context", "encoder", "batch", "gpu-only"
  std::vector<std::string> shortage;  // "wait", "shrink", "cpu", "cloud", "refuse"
  std::vector<std::string> alternatives;  // files, the best first
  std::optional<uint32_t> context_least;
  std::optional<Budget> cap;  // of each accelerator
};

constexpr size_t kLorasMax = 8;

// What a model that is one of several makes most of.
enum class Mode { kAccuracy, kBalanced, kSpeed };
std::string_view mode_name(Mode mode);                 // "accuracy", "balanced", "speed"
std::optional<Mode> mode_of(std::string_view name);    // nothing for any other word

// Speech engines beside llama.cpp and whisper.cpp (model/voice_keys.h).
struct VoiceConfig {
  std::string engine;     // "vits", "espeak-ng", "pyannote"; empty: none of them
  std::string embedding;  // pyannote: the file that tells voices apart
  std::vector<std::pair<std::string, std::string>> options, voices;
  uint32_t speakers = 0;  // pyannote: of requests that say nothing; 0: by the threshold
  std::optional<double> threshold;
};

struct ModelConfig {
  std::string name;
  std::string kind;    // "language", "vision", "speech", "embedding", "voice", "diarization",
                       // "vad"; empty: told from the file
  std::string file;    // model file (resolved against the config file's folder); or cmd
  std::string mmproj;
  std::string draft;               // a small model of the same vocabulary that guesses for it
  std::vector<std::string> lora;   // adapters, all applied
  std::string cmd;     // llama-swap: command with ${PORT} and ${macros}, macros already replaced
  std::string proxy;           // llama-swap: where cmd answers; default http://127.0.0.1:${PORT}
  std::string check_endpoint = "/health";
  std::vector<std::string> aliases;
  std::vector<std::pair<std::string, std::string>> env;
  std::optional<uint32_t> ttl_s;     // idle seconds before unloading; 0: never
  std::optional<uint32_t> context;
  std::optional<uint32_t> parallel;
  std::optional<CacheType> cache_k, cache_v;
  std::optional<Bytes> memory;       // declared need of an external command
  std::string stream;  // "auto", "off", a preset, layers that stay; empty: the file's
  std::string encoder;  // of speech, by OpenVINO: "auto", "npu", "gpu", "cpu", "none"; empty: auto
  std::string vad;  // of speech, what finds it: "loudness", "silero"; empty: loudness
  std::optional<Growth> growth;      // absent: the file's
  bool whole_device = false;         // nobody else on the device it runs on
  std::vector<std::string> cloud;    // relays that answer when it cannot be had here, in order
  uint32_t cloud_after_s = 0;        // seconds in line until they do; 0: as long as it takes
  std::vector<std::string> one_of;   // it is one of these, the best first, and nothing of its own
  Mode mode = Mode::kBalanced;
  double keep_up = 0.5;        // balanced: seconds of work for a second of sound, at most
  uint32_t step_after_s = 10;  // of pressure until a faster one is taken; 0: never
  DemandConfig demand;
  VoiceConfig voice;
};

// Models that never share a device, by kind, purpose or name: two whom different words mean.
struct ExclusiveConfig {
  std::vector<std::string> classes;
  std::optional<Bytes> below;  // on devices with less than this; absent: on all
};

struct GroupConfig {
  std::string name;
  bool swap = true, exclusive = true, persistent = false;
  std::vector<std::string> members;
};

struct Config {
  std::string listen = "127.0.0.1:8484";
  std::string state_dir;   // default: XDG_STATE_HOME/gantry, or /var/lib/gantry for the service
  std::string models_dir;  // shipped micro models: catalogue.json lies there
  std::optional<Budget> ram_budget, vram_budget;
  std::map<std::string, Budget> reserve;  // left to others, by device; "": where none is named
  Growth growth = Growth::kWarn;          // of models that say nothing
  uint32_t wait_s = 60;    // for memory that other programs hold
  uint32_t hung_s = 300;   // a job's worker that uses no processor time so long is ended; 0: never
  uint32_t keep_jobs = 100'000;  // that have ended; older ones go with their results; 0: no limit
  uint32_t keep_days = 0;        // after which a job that has ended goes; 0: no limit
  std::string api_key;     // from GANTRY_API_KEY or api_key_file (mode 0600); never from YAML
  std::vector<std::string> allowed_hosts;    // besides the listening address and localhost
  std::vector<std::string> allowed_origins;  // besides our own
  std::string stream = "auto";  // what models that say nothing do
  std::string prefer = "speed";  // or "energy"
  std::string compute_type;      // of models that say nothing and have alternatives
  uint32_t idle_unload_s = 300;
  uint32_t linger_s = 10;  // a shared daemon leaves that long after the last client and job
  std::vector<ModelConfig> models;
  std::vector<GroupConfig> groups;
  std::vector<ExclusiveConfig> exclusive;
  std::string lease_dir;  // of all users' daemons; default: /dev/shm/gantry-leases; "none": not
  // Models whose requests may leave this machine, by name; absent: all that a relay answers for.
  std::optional<std::vector<std::string>> cloud_allow;
  std::vector<std::string> cloud_deny;  // and those that never do, allowed or not
};

// Whether its worker is a relay: what it is asked goes to another machine.
bool is_relay(const ModelConfig& model);

// One file. Errors are kCorrupt with "FILE:LINE:COLUMN: cause".
[[nodiscard]] Result<Config> parse_config(const std::string& text, const std::string& path);

// A key that we know and do not use (llama-swap's), or a doubtful value; unknown keys are errors.
struct ConfigWarning {
  std::string where;  // "FILE:LINE:COLUMN"
  std::string text;
};
[[nodiscard]] Result<std::vector<ConfigWarning>> check_config(const std::string& text,
                                                              const std::string& path);

// Defaults < /usr/share/gantry/config.yaml < /etc/gantry/config.yaml < the user's
// $XDG_CONFIG_HOME/gantry/config.yaml, or `file` in its place < GANTRY_* environment < `flags`
// (keys as in the file, "ram_budget" -> "2GiB"). The shipped catalogue's models come first, and
// give way to a user's model of the same name. A `file` that is missing is kNotFound; a bad value
// in the environment or a flag is kUsage and names it; an API key file that others may read is
// kPermission.
[[nodiscard]] Result<Config> load_config(Os& os, const std::string& file,
                                         const std::map<std::string, std::string>& flags);

// The published JSON schema of the file.
std::string config_schema();

}  // namespace gantry
