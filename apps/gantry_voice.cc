// gantry-voice ENGINE: one model of sherpa-onnx as a worker, JSON lines on stdin and stdout.
#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>

#include "voice/serve_voice.h"
#include "worker/call_server.h"

int main(int argc, char** argv) {
  CLI::App app("Gantry's voice worker: speaks, hears, or tells speakers apart",
               "gantry-voice");
  gantry::VoiceOptions options;
  std::vector<std::string> settings, voices;
  double threshold = -1;
  app.add_option("engine", options.engine, "vits, kokoro, ..., pyannote, paraformer, ...")
      ->required();
  app.add_option("-t,--threads", options.threads, "compute threads")->check(CLI::Range(1, 512));
  app.add_option("--set", settings, "KEY=VALUE: a file or figure, by sherpa-onnx's name");
  app.add_option("--voice", voices, "NAME=NUMBER: a speaker of the model");
  app.add_option("--speakers", options.speakers.speakers, "how many there are")
      ->check(CLI::Range(0U, gantry::kSpeakersMax));
  app.add_option("--threshold", threshold, "distance that makes two speakers of two voices")
      ->check(CLI::Range(0.0, gantry::kSpeakerThresholdMax));
  CLI11_PARSE(app, argc, argv);
  const int out = gantry::take_stdout();  // what a library prints is no answer
  if (threshold >= 0) options.speakers.threshold = threshold;
  for (const std::string& word : settings) {
    const auto pair = gantry::split_setting(word);
    if (!pair) return 2;
    options.values[pair->first] = pair->second;
  }
  for (const std::string& word : voices) {
    const auto pair = gantry::split_setting(word);
    if (!pair) return 2;
    options.voices.push_back(*pair);
  }
  ::signal(SIGPIPE, SIG_IGN);
  return gantry::serve_voice(options, STDIN_FILENO, out);
}
