// Speaking, telling speakers apart, and sherpa-onnx's recognition: processes of our own, each with
// one model.
#include "worker/voice.h"

#include "base/limits.h"
#include "model/voice_keys.h"
#include "worker/llama.h"
#include "worker/speech_client.h"

namespace gantry {

namespace {

Result<std::vector<std::string>> gguf_voice_argv(const WorkerContext& context,
                                                 const WorkerSpec& spec) {
  if (spec.file.empty()) return fail(Code::kUsage, "the model " + spec.model + " has no file");
  if (!spec.voice.voices.empty()) {
    return fail(Code::kUsage, "a voice of " + spec.voice.engine + " has no names for others",
                "remove voices; make a model of each reference_audio");
  }
  std::vector<std::string> argv = {
      context.worker_exe, "--engines", context.engine_dir, "tts", "--threads",
      std::to_string(compute_threads(context.cpu)), "--model", spec.file};
  for (const auto& [key, value] : spec.voice.options) {
    argv.insert(argv.end(), {"--" + key, value});
    if (key == "stream") argv.insert(argv.end(), {"--plugin", stream_plugin(context)});
  }
  return argv;
}

}  // namespace

Result<std::vector<std::string>> voice_argv(const WorkerContext& context,
                                            const WorkerSpec& spec) {
  const std::string folder = dir_name(context.worker_exe);
  const VoiceSpec& voice = spec.voice;
  const VoiceEngine* engine = find_voice_engine(voice.engine);
  if (engine == nullptr) {
    return fail(Code::kUsage, spec.model + " has no speech engine named " + voice.engine);
  }
  std::vector<std::string> argv;
  if (is_gguf_voice(engine->name)) return gguf_voice_argv(context, spec);
  if (engine->name == kEspeakEngine) {
    argv = {join_path(folder, "gantry-espeak")};
  } else {
    if (spec.file.empty()) return fail(Code::kUsage, "the model " + spec.model + " has no file");
    argv = {join_path(folder, "gantry-voice"), voice.engine, "--threads",
            std::to_string(compute_threads(context.cpu)), "--set",
            std::string(engine->keys.front().name) + "=" + spec.file};
    for (const auto& [key, value] : voice.options) {
      argv.insert(argv.end(), {"--set", key + "=" + value});
    }
  }
  for (const auto& [name, id] : voice.voices) {
    argv.insert(argv.end(), {"--voice", name + "=" + id});
  }
  if (voice.speakers.speakers > 0) {
    argv.insert(argv.end(), {"--speakers", std::to_string(voice.speakers.speakers)});
  }
  if (voice.speakers.threshold) {
    argv.insert(argv.end(), {"--threshold", std::to_string(*voice.speakers.threshold)});
  }
  return argv;
}

Result<std::unique_ptr<Worker>> start_voice(Os& os, const WorkerContext& context,
                                            const WorkerSpec& spec) {
  ProcessSpec process = worker_process(context, spec.model);
  Result<std::vector<std::string>> argv = voice_argv(context, spec);
  if (!argv) return fail(argv.error());
  process.argv = std::move(*argv);
  process.gate = spec.gate;
  process.env.insert(process.env.end(), spec.env.begin(), spec.env.end());
  process.pipe_io = true;
  Result<std::unique_ptr<Child>> child =
      Child::start(os, process, "the voice worker for " + spec.model);
  if (!child) return fail(child.error());
  SpeechLimits limits;
  limits.ready = kWorkerReadyMax;
  return make_speech_client(std::move(*child), limits);
}

}  // namespace gantry
