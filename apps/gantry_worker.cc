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
#include "worker/calibrate.h"
#include "worker/card_reader.h"
#include "worker/dry_run.h"
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

void add_speech(CLI::App& app, gantry::SpeechOptions* options, int* window_ms) {
  CLI::App* speech = app.add_subcommand("speech", "Recognise speech: JSON lines on stdin/stdout");
  speech->add_option("-m,--model", options->model, "whisper.cpp model file")->required();
  speech->add_option("-t,--threads", options->threads, "compute threads")
      ->check(CLI::Range(1, 512));
  speech->add_option("-l,--language", options->language, "auto, en, de, ...");
  speech->add_option("--window-ms", *window_ms, "longest piece; 0: the model's own")
      ->check(CLI::Range(0, 30'000));
  speech->add_option("--device", options->device, "ggml's name of an accelerator, or auto");
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
  add_speech(app, &speech, &window_ms);
  gantry::MeasureOptions measured;
  gantry::add_measure_command(app, &measured);
  gantry::CalibrateOptions calibrated;
  add_calibrate(app, &calibrated);
  gantry::DryRunOptions dry;
  add_dry_run(app, &dry);
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
    return gantry::serve_speech(speech, STDIN_FILENO, out);
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
