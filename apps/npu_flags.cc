// One table of flags, both ways.
#include "apps/npu_flags.h"

namespace gantry {

void add_npu_flags(CLI::App* app, NpuFlags* flags) {
  app->add_option("MODEL", flags->models,
                  "Name, GGUF file, whisper model or OpenVINO folder, or NAME=PATH; "
                  "default: micro-embed-en micro-minutes")
      ->type_name("");
  app->add_option("--model", flags->models, "Likewise")->type_name("MODEL");
  app->add_option("--port", flags->port, "Port; 0: any free one")->capture_default_str();
  app->add_option("--listen", flags->listen, "Address; off loopback a key is needed")
      ->type_name("HOST")
      ->capture_default_str();
  app->add_option("--device", flags->device, "npu, gpu, cpu, several by commas, or auto")
      ->type_name("CHAIN")
      ->capture_default_str();
  app->add_option("--key-file", flags->key_file, "API key, in a file of mode 0600")
      ->type_name("FILE");
  app->add_option("--prompt-max", flags->prompt_max, "Tokens that a prompt may have")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  app->add_option("--cache-dir", flags->cache_dir, "Compiled blobs (default ~/.cache/gantry)")
      ->type_name("DIR");
  app->add_option("-t,--threads", flags->threads, "Of the CPU device; 0: OpenVINO's choice")
      ->check(CLI::Range(0, 512));
  app->footer(
      "Examples:\n"
      "  gantry npu-worker                          micro-embed-en and micro-minutes, port 8081\n"
      "  gantry npu-worker --device npu,cpu bge-small-en=models/bge chat.gguf\n"
      "  gantry npu-worker ear.bin                  then: curl -F file=@a.wav "
      "localhost:8081/v1/audio/transcriptions\n"
      "  curl localhost:8081/embeddings -d '{\"texts\":[\"hello\"]}'\n"
      "Which device really answers: GET /health. docs/npu.md has the whole API.");
}

std::vector<std::string> npu_argv(const std::string& program, const NpuFlags& flags) {
  std::vector<std::string> argv = {program,    "--listen",   flags.listen,
                                   "--port",   std::to_string(flags.port),
                                   "--device", flags.device, "--prompt-max",
                                   std::to_string(flags.prompt_max),
                                   "--threads", std::to_string(flags.threads)};
  for (const auto& [name, value] : {std::pair{"--key-file", &flags.key_file},
                                    std::pair{"--cache-dir", &flags.cache_dir}}) {
    if (!value->empty()) argv.insert(argv.end(), {name, *value});
  }
  for (const std::string& model : flags.models) argv.insert(argv.end(), {"--model", model});
  return argv;
}

}  // namespace gantry
