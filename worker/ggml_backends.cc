// The few calls into ggml's plugin registry that a worker needs.
#include "worker/ggml_backends.h"

#include <ggml-backend.h>
#include <unistd.h>
#include <whisper.h>

#include <cstring>
#include <filesystem>

namespace gantry {

namespace {

void to_stderr(ggml_log_level level, const char* text, void*) {
  if (level == GGML_LOG_LEVEL_DEBUG) return;
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, text, std::strlen(text));
}

}  // namespace

void load_cpu_backend(const std::string& engine_dir) {
  // One file where the build knew the processor; several, scored at load, where it did not.
  const std::string single = engine_dir + "/libggml-cpu.so";
  std::error_code error;
  if (std::filesystem::exists(single, error) && ggml_backend_load(single.c_str()) != nullptr) {
    return;
  }
  load_all_backends(engine_dir);
}

void load_all_backends(const std::string& engine_dir) {
  ggml_backend_load_all_from_path(engine_dir.c_str());
}

void log_engines_to_stderr() {
  ggml_log_set(to_stderr, nullptr);
  whisper_log_set(to_stderr, nullptr);
}

}  // namespace gantry
