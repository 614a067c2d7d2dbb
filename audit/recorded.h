// Machines that are not here, for tests: a text file of paths with their contents, and what the
// device probe answered. A line is "PATH CONTENT"; "PATH <<" takes the lines until ">>"; "hex PATH
// DIGITS" is binary; "probe LINE" is a line of the probe's answer, after which it ends;
// "probe-hangs" leaves it without an end; "#" begins a comment.
#pragma once

#include <fstream>
#include <string>
#include <vector>

#include "audit/fake_probe.h"

namespace gantry {

struct Recorded {
  FakeOs os;
  std::vector<std::string> probe;
  bool hangs = false;

  // What ends the answer: nothing more is said, or the process is gone.
  void script() {
    script_probe(&os, probe, hangs ? Code::kTimeout : Code::kWorkerFailed);
  }
};

inline std::string from_hex(const std::string& digits) {
  std::string out;
  for (size_t i = 0; i + 1 < digits.size(); i += 2) {
    out += static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16));
  }
  return out;
}

inline Recorded recorded(const std::string& name) {
  Recorded machine;
  std::ifstream file(std::string(GANTRY_TESTDATA_DIR) + "/" + name + ".machine");
  for (std::string line; std::getline(file, line);) {
    const size_t space = line.find(' ');
    const std::string first = line.substr(0, space);
    const std::string rest = space == std::string::npos ? "" : line.substr(space + 1);
    if (first == "probe") {
      machine.probe.push_back(rest);
    } else if (first == "probe-hangs") {
      machine.hangs = true;
    } else if (first == "hex") {
      const size_t gap = rest.find(' ');
      machine.os.files[rest.substr(0, gap)] = from_hex(rest.substr(gap + 1));
    } else if (rest == "<<") {
      std::string& text = machine.os.files[first];
      while (std::getline(file, line) && line != ">>") text += line + "\n";
    } else if (first.starts_with('/')) {
      machine.os.files[first] = rest + "\n";
    }
  }
  machine.script();
  return machine;
}

}  // namespace gantry
