// The engine's answers, asked for once and kept in a file for the next command and the daemon.
//
//   {"version":1,"answers":[{"key":"SHA-256","answer":{"devices":[...],"host":{...}}}]}
//
// The key is of the engine's and the model's files (path, size, time, inode), all flags and the
// processor, by whose features weights are rearranged. The oldest go when there are too many. A
// file that is not understood, or of another version, is written anew: it only saves time.
#pragma once

#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/sync.h"
#include "foreman/engine_probe.h"

namespace gantry {

constexpr const char* kAnswersFile = "dry-runs.json";  // in the state directory
constexpr size_t kAnswersKept = 256;
constexpr Bytes kAnswersFileMax = MiB(1);
// What failed is not tried again for so long.
constexpr Millis kAnswerFailureHeld{60'000};

struct EngineAnswersOptions {
  Os* os = nullptr;
  const Clock* clock = nullptr;
  EngineProbe probe;
  std::string file;      // empty: kept in memory alone
  std::string about;     // engine_identity() and the processor
  std::function<void(const std::string& model, const Error& error)> on_failure = {};
};

// What an engine is told apart by, besides the machine's processor.
std::string engine_identity(Os& os, const std::string& worker_exe, const std::string& engine_dir);

// Thread-safe.
class EngineAnswers {
 public:
  explicit EngineAnswers(EngineAnswersOptions options) : options_(std::move(options)) {}

  // `files` is the identity of the model's files. As EngineProbe, and needs_of_answer().
  [[nodiscard]] Result<std::vector<Need>> ask(const WorkerSpec& spec, const std::string& files);

  struct Counts {
    uint32_t asked = 0;   // processes
    uint32_t known = 0;   // answers that were there already
    uint32_t failed = 0;  // of those asked
  };
  Counts counts();

 private:
  struct Failure {
    Error error;
    Millis at;
  };
  using Rows = std::vector<std::pair<std::string, nlohmann::json>>;  // the oldest first

  std::string key_of(const WorkerSpec& spec, const std::string& files) const;
  Rows read_file() const;
  void keep(const std::string& key, const nlohmann::json& answer);
  std::optional<Error> failed_lately(const std::string& key);

  EngineAnswersOptions options_;
  Mutex mutex_;
  bool read_ = false;
  std::map<std::string, nlohmann::json> known_;
  std::map<std::string, Failure> failures_;
  Counts counts_;
};

}  // namespace gantry
