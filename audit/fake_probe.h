// A scripted gantry-worker for the audit's tests.
#pragma once

#include <string>
#include <utility>

#include "base/fake_os.h"

namespace gantry {

// Answers one line, or with an error.
class FakeProbe final : public Process {
 public:
  explicit FakeProbe(Result<std::string> line) : line_(std::move(line)) {}
  int pid() const override { return 1; }
  void signal_group(int) override {}
  std::optional<Exit> wait(Millis) override { return Exit{}; }
  [[nodiscard]] Result<void> write_line(std::string_view) override { return {}; }
  [[nodiscard]] Result<std::string> read_line(Millis, Bytes max) override {
    if (line_ && line_->size() > max.n) return fail(Code::kTooLarge, "line too long");
    return line_;
  }

 private:
  Result<std::string> line_;
};

inline void script_probe(FakeOs* os, const Result<std::string>& line) {
  os->on_spawn = [line](const ProcessSpec&) -> Result<std::unique_ptr<Process>> {
    return std::make_unique<FakeProbe>(line);
  };
}

}  // namespace gantry
