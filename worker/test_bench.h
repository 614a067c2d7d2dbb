// For tests: a folder of their own, sound made in memory, and where the real engines are.
#pragma once

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "worker/worker.h"

namespace gantry {

class TestFolder {
 public:
  TestFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "gantry-XXXXXX").string();
    if (::mkdtemp(name.data()) != nullptr) path_ = name;
  }
  ~TestFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TestFolder(const TestFolder&) = delete;
  TestFolder& operator=(const TestFolder&) = delete;
  const std::string& path() const { return path_; }
  std::string file(const std::string& name) const { return path_ + "/" + name; }
  std::string write(const std::string& name, std::string_view bytes) const {
    std::ofstream(file(name), std::ios::binary) << bytes;
    return file(name);
  }

 private:
  std::string path_;
};

inline std::string slurp(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

inline std::string little_endian(uint64_t value, int bytes) {
  std::string out;
  for (int i = 0; i < bytes; ++i) out += static_cast<char>(value >> (8 * i) & 0xFF);
  return out;
}

// A well-formed wav of these samples.
inline std::string wav_bytes(const std::vector<int16_t>& samples) {
  const uint64_t bytes = samples.size() * 2;
  std::string out = "RIFF" + little_endian(36 + bytes, 4) + "WAVEfmt " + little_endian(16, 4) +
                    little_endian(1, 2) + little_endian(1, 2) + little_endian(16'000, 4) +
                    little_endian(32'000, 4) + little_endian(2, 2) + little_endian(16, 2) +
                    "data" + little_endian(bytes, 4);
  for (const int16_t s : samples) out += little_endian(static_cast<uint16_t>(s), 2);
  return out;
}

inline WorkerContext bench_context(const TestFolder& folder) {
  return {.run_dir = folder.path(),
          .log_dir = folder.path(),
          .engine_dir = GANTRY_ENGINE_DIR,
          .worker_exe = GANTRY_WORKER_EXE};
}

inline bool exists(const std::string& path) { return ::access(path.c_str(), R_OK) == 0; }
inline std::string model_file(const std::string& name) {
  return std::string(GANTRY_MODELS_DIR) + "/" + name;
}
inline std::string test_data(const std::string& name) {
  return std::string(GANTRY_TESTDATA_DIR) + "/" + name;
}

}  // namespace gantry
