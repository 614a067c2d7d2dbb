// A scripted gantry-worker for the audit's tests.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/fake_os.h"

namespace gantry {

// Answers its lines, then with an error.
class FakeProbe final : public Process {
 public:
  FakeProbe(std::vector<std::string> lines, Code end) : lines_(std::move(lines)), end_(end) {}
  int pid() const override { return 1; }
  void signal_group(int) override {}
  std::optional<Exit> wait(Millis) override { return Exit{0, 11}; }
  [[nodiscard]] Result<void> write_line(std::string_view) override { return {}; }
  [[nodiscard]] Result<std::string> read_line(Millis, Bytes max) override {
    if (next_ >= lines_.size()) return fail(end_, "the worker closed its output");
    const std::string& line = lines_[next_++];
    if (line.size() > max.n) return fail(Code::kTooLarge, "line too long");
    return line;
  }

 private:
  std::vector<std::string> lines_;
  size_t next_ = 0;
  Code end_;
};

inline void script_probe(FakeOs* os, const std::vector<std::string>& lines,
                         Code end = Code::kWorkerFailed) {
  os->on_spawn = [lines, end](const ProcessSpec&) -> Result<std::unique_ptr<Process>> {
    return std::make_unique<FakeProbe>(lines, end);
  };
}

// The whole answer of a machine whose ggml has these devices (JSON rows, with commas).
inline std::vector<std::string> probe_of(const std::string& rows) {
  return {R"({"nvidia":[],"trouble":""})", R"({"backends":"CPU","devices":[)" + rows + "]}",
          R"({"openvino":[]})"};
}

}  // namespace gantry
