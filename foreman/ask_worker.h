// A worker that gives one answer and ends: how untrusted files are asked about.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/os.h"

namespace gantry {

struct WorkerAsk {
  std::vector<std::string> argv;
  std::vector<std::pair<std::string, std::string>> env = {};
  std::string errors;  // file for its error output, removed afterwards; empty: none
  Millis max{0};       // to answer
};

struct WorkerAnswer {
  std::optional<std::string> line;
  bool late = false;  // it was not waited for any longer
  std::string words;  // without a line: the last of its error output
  std::string end;    // likewise: "killed by signal 11"
};

// An Error only where it cannot be started.
[[nodiscard]] Result<WorkerAnswer> ask_worker(Os& os, const WorkerAsk& ask);

// One file for each thread of this process: a thread asks one thing at a time.
std::string error_file(const std::string& folder, const std::string& name);

}  // namespace gantry
