// gantry-worker: the process in which untrusted model bytes are opened, apart from llama-server.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "apps/flags.h"
#include "apps/interrupt.h"
#include "apps/measure_flags.h"
#include "base/os.h"
#include "worker/calibrate.h"
#include "worker/card_reader.h"
#include "worker/dry_run.h"
#include "worker/encoder_convert.h"
#include "worker/gguf_voice.h"
#include "worker/probe.h"
#include "worker/speech_server.h"

namespace {

int print(int out, const gantry::Result<std::string>& text) {
  if (!text) {
    std::fprintf(stderr, "gantry: %s\n", gantry::describe(text.error()).c_str());
    return gantry::exit_code(text.error().code);
  }
  return ::dprintf(out, "%s\n", text->c_str()) < 0 ? 1 : 0;
}

std::string library_beside_us() {
  const std::string self = gantry::make_real_os()->self_exe();
  return gantry::join_path(gantry::dir_name(self), "libgantry-encoder.so");
}

void add_encoder_library(CLI::App* command, std::string* library) {
  command->add_option("--encoder-library", *library, "libgantry-encoder.so")
      ->envname("GANTRY_ENCODER_LIBRARY")
      ->capture_default_str();
}

void add_speech(CLI::App& app, gantry::SpeechOptions* options, int* window_ms) {
  CLI::App* speech = app.add_subcommand("speech", "Recognise speech: JSON lines on stdin/stdout");
  speech->add_option("-m,--model", options->model, "whisper.cpp model file")->required();
  speech->add_option("-t,--threads", options->threads, "compute threads")
      ->check(CLI::Range(1, 512));
  speech->add_option("-l,--language", options->language, "auto, en, de, ...");
  speech->add_option("--parallel", options->parallel, "pieces of a recording at once")
      ->check(CLI::Range(1, 64));
  speech->add_option("--window-ms", *window_ms, "longest piece; 0: the model's own")
      ->check(CLI::Range(0, 30'000));
  speech->add_option("--device", options->device, "ggml's name of an accelerator, or auto");
  speech->add_option("--encoder", options->encoder.first, "OpenVINO's device for the encoder")
      ->check(CLI::IsMember({"auto", "npu", "gpu", "cpu", "none"}));
  speech->add_option("--encoder-dir", options->encoder.cache_dir,
                     "where encoders are kept that were made on demand");
  add_encoder_library(speech, &options->encoder.library);
}

void add_convert(CLI::App& app, gantry::ConvertOptions* options) {
  CLI::App* whisper = app.add_subcommand("convert", "Make models for OpenVINO")
                          ->require_subcommand(1)
                          ->add_subcommand("whisper", "The encoder of a whisper model, as IR");
  whisper->add_option("FILE", options->model, "whisper.cpp model file")->required();
  whisper->add_option("-o,--out", options->out, "the .xml; the .bin lies beside it");
  whisper->add_option("-t,--threads", options->threads, "compute threads")
      ->check(CLI::Range(1, 512));
  add_encoder_library(whisper, &options->library);
}

int serve_speech(gantry::SpeechOptions speech, int out) {
  const auto os = gantry::make_real_os();
  const gantry::ConvertOptions convert{speech.model, {}, speech.encoder.library,
                                       speech.engine_dir, speech.threads};
  speech.encoder.threads = static_cast<uint32_t>(speech.threads);
  const std::string dir = speech.encoder.cache_dir;
  speech.encoder.ir = [&os, convert, dir] {
    return gantry::find_or_make_encoder(*os, convert, dir, os->self_exe());
  };
  return gantry::serve_speech(speech, STDIN_FILENO, out);
}

// One line either way: {"out",...} or {"error":{...}}, as a speech worker says it.
int convert_to(int out, const gantry::ConvertOptions& options) {
  const auto os = gantry::make_real_os();
  const auto report = gantry::convert_whisper(*os, options);
  const std::string line = report ? report->dump() : gantry::speech_line(report.error());
  if (::dprintf(out, "%s\n", line.c_str()) < 0) return 1;
  return report ? 0 : gantry::exit_code(report.error().code);
}

void add_tts(CLI::App& app, gantry::GgufVoiceOptions* options) {
  CLI::App* tts = app.add_subcommand("tts", "Speak: JSON lines on stdin/stdout");
  tts->add_option("-m,--model", options->model, "GGUF file of Pocket TTS or Qwen3-TTS")->required();
  tts->add_option("--projector", options->projector, "its projector")->required();
  tts->add_option("--reference_audio", options->reference_audio, "a voice to be like");
  tts->add_option("--language", options->language, "of Qwen3-TTS: en, de, ...");
  tts->add_option("--stream", options->stream, "preset of the streamer");
  tts->add_option("--plugin", options->plugin, "the streamer");
  tts->add_option("-t,--threads", options->threads, "compute threads")->check(CLI::Range(1, 512));
}

void add_calibrate(CLI::App& app, gantry::CalibrateOptions* options) {
  CLI::App* calibrate = app.add_subcommand(
      "calibrate", "Measure how fast a device multiplies each quantisation: JSON lines");
  calibrate->add_option("--device", options->device, "ggml's name of it")->capture_default_str();
  calibrate->add_option("--only", options->only, "quantisations, for example Q4_K,Q6_K")
      ->delimiter(',');
  calibrate->add_option("-t,--threads", options->threads, "compute threads; 0: one a processor");
  calibrate->add_flag("--quick", options->quick, "the four commonest quantisations alone");
}

// llama-server's names: it takes what llama_memory_argv() gives.
void add_dry_run(CLI::App& app, gantry::DryRunOptions* o) {
  CLI::App* command = app.add_subcommand("dry-run", "Print what a model would take, as JSON");
  command->add_option("-m,--model", o->model, "GGUF file")->required();
  command->add_option("--mmproj", o->mmproj, "vision or audio encoder beside it");
  command->add_option("--plugin", o->plugin, "a ggml backend to load besides");
  command->add_option("--device,--devices", o->devices, "ggml's names, by commas, or none");
  command->add_option("--ts,--tensor-split", o->tensor_split, "layers by device, by commas");
  command->add_option("-c,--ctx-size", o->context, "tokens of all sequences together");
  command->add_option("--np,--parallel", o->parallel, "sequences at once");
  command->add_option("-b,--batch-size", o->batch, "tokens of one call; 0: the same as -ub");
  command->add_option("--ub,--ubatch-size", o->ubatch, "tokens computed at once");
  command->add_option("--ctk,--cache-type-k", o->cache_k, "type of the K cache");
  command->add_option("--ctv,--cache-type-v", o->cache_v, "type of the V cache");
  command->add_option("--fa,--flash-attn", o->flash_attention, "on, off, auto");
  command->add_option("--ngl,--gpu-layers", o->gpu_layers, "layers on devices; -1: all");
  command->add_flag("--embeddings", o->embeddings, "answers are embeddings");
  command->add_option("--pooling", o->pooling, "of embeddings: mean, cls, last, rank, none");
  command->add_option("--split-mode", o->split_mode, "layer");
  command->add_flag("!--no-mmproj-offload", o->encoder_offload, "keep the encoder on the CPU");
  command->add_flag("!--no-op-offload", o->op_offload, "compute host weights on the CPU always");
  command->add_flag("!--no-repack", o->repack, "keep CPU weights as the file has them");
  command->add_flag_function("--json", [](int64_t) {}, "the only form there is");
}

gantry::Result<std::string> dry_run_line(const gantry::DryRunOptions& options) {
  const auto report = gantry::dry_run(options);
  if (!report) return gantry::fail(report.error());
  return report->dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

int until_interrupted(const std::function<int(const std::atomic<bool>&)>& work) {
  const gantry::Interrupt interrupt;
  const int status = work(interrupt.flag());
  return interrupt.signal() != 0 ? 128 + interrupt.signal() : status;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Gantry's worker: opens models, where a crash costs one job", "gantry-worker");
  gantry::SpeechOptions speech;
  int window_ms = 0;
  std::string file, mmproj, engines = GANTRY_ENGINE_DIR;
  app.add_option("--engines", engines, "folder of ggml's backends")->capture_default_str();
  gantry::ConvertOptions converted;
  speech.encoder.library = converted.library = library_beside_us();
  add_speech(app, &speech, &window_ms);
  add_convert(app, &converted);
  gantry::MeasureOptions measured;
  gantry::add_measure_command(app, &measured);
  gantry::CalibrateOptions calibrated;
  add_calibrate(app, &calibrated);
  gantry::DryRunOptions dry;
  add_dry_run(app, &dry);
  gantry::GgufVoiceOptions voice;
  add_tts(app, &voice);
  app.add_subcommand("probe", "Print the devices of drivers and engines, JSON lines");
  CLI::App* card = app.add_subcommand("card", "Check a model file and print its facts as JSON");
  card->add_option("FILE", file, "GGUF or whisper model")->required();
  card->add_option("MMPROJ", mmproj, "vision encoder beside it");
  app.require_subcommand(1);
  try {
    std::vector<std::string> args = gantry::normalized_flags(argc, argv);
    std::ranges::reverse(args);  // the parser takes them from the back
    app.parse(args);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  const int out = gantry::take_stdout();  // what a library prints is no answer
  if (app.got_subcommand("speech")) {
    speech.engine_dir = engines;
    speech.window = gantry::Millis(window_ms);
    return serve_speech(speech, out);
  }
  if (app.got_subcommand("convert")) {
    converted.engine_dir = engines;
    return convert_to(out, converted);
  }
  if (app.got_subcommand("tts")) {
    voice.engine_dir = engines;
    return gantry::serve_gguf_voice(voice, STDIN_FILENO, out);
  }
  if (app.got_subcommand("measure")) {
    measured.engine_dir = engines;
    return until_interrupted([&](const auto& cancel) {
      return gantry::measure_to(out, measured, cancel);
    });
  }
  if (app.got_subcommand("calibrate")) {
    calibrated.engine_dir = engines;
    return until_interrupted([&](const auto& cancel) {
      return gantry::calibrate_to(out, calibrated, cancel);
    });
  }
  if (app.got_subcommand("dry-run")) {
    dry.engine_dir = engines;
    return print(out, dry_run_line(dry));
  }
  if (app.got_subcommand("probe")) return gantry::probe_to(out, {engines});
  return print(out, gantry::read_cards(file, mmproj));
}
