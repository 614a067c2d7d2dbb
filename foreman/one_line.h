// For tests: a process that says one line, or nothing.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/os.h"

namespace gantry {

class SaysOneLine final : public Process {
 public:
  SaysOneLine(std::optional<std::string> line, Code missing)
      : line_(std::move(line)), missing_(missing) {}
  int pid() const override { return 1; }
  void signal_group(int) override {}
  std::optional<Exit> wait(Millis) override { return Exit{0, 11}; }
  [[nodiscard]] Result<void> write_line(std::string_view) override { return {}; }
  [[nodiscard]] Result<std::string> read_line(Millis, Bytes) override {
    if (line_) return *line_;
    return fail(missing_, "nothing came");
  }

 private:
  std::optional<std::string> line_;
  Code missing_;
};

}  // namespace gantry
