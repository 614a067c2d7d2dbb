// Starting it, and reading its line or its last words.
#include "foreman/ask_worker.h"

#include <fmt/format.h>
#include <unistd.h>

#include <thread>

#include "base/limits.h"

namespace gantry {

namespace {

constexpr Millis kExitMax{1'000};
constexpr Bytes kErrorTextMax = KiB(64);

// What it wrote on its way out: "gantry: CAUSE (REMEDY)".
std::string last_words(Os& os, const std::string& file) {
  std::string text = os.read_file(file, kErrorTextMax).value_or("");
  while (!text.empty() && text.back() == '\n') text.pop_back();
  const size_t line = text.rfind('\n');
  if (line != std::string::npos) text.erase(0, line + 1);
  constexpr std::string_view kPrefix = "gantry: ";
  if (text.starts_with(kPrefix)) text.erase(0, kPrefix.size());
  return text;
}

}  // namespace

Result<WorkerAnswer> ask_worker(Os& os, const WorkerAsk& ask) {
  ProcessSpec spec;
  spec.argv = ask.argv;
  spec.env = ask.env;
  spec.pipe_io = true;
  spec.output_file = ask.errors;
  Result<std::unique_ptr<Process>> process = os.spawn(spec);
  if (!process) return fail(process.error());
  WorkerAnswer answer;
  if (Result<std::string> line = (*process)->read_line(ask.max, kModelMetadataMax)) {
    answer.line = std::move(*line);
  } else if (line.error().code == Code::kTimeout) {
    answer.late = true;
  } else {
    const std::optional<Exit> exit = (*process)->wait(kExitMax);
    if (!ask.errors.empty()) answer.words = last_words(os, ask.errors);
    answer.end = exit ? exit->text() : "no exit";
  }
  if (!ask.errors.empty()) (void)os.remove(ask.errors);
  return answer;
}

std::string error_file(const std::string& folder, const std::string& name) {
  const size_t thread = std::hash<std::thread::id>{}(std::this_thread::get_id());
  return join_path(folder, fmt::format("{}-{}-{:x}.err", name, ::getpid(), thread));
}

}  // namespace gantry
