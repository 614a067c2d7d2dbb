// What stands between this machine's accelerators and their use, each finding with its remedy.
#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "audit/machine.h"

namespace gantry {

struct Finding {
  std::string subject;  // "npu", "npu driver", "gpu0", "openvino"
  bool attention = false;
  std::string text;
  std::string remedy;  // what to do; empty where nothing is to be done
};

struct DoctorFacts {
  std::vector<Device> devices;  // the machine's, as audited
  // OpenVINO's, as gantry-npu lists them; absent: it did not answer, and why.
  std::optional<std::vector<std::string>> openvino;
  std::string openvino_fault;
  std::function<bool(const std::string& path)> may_use;  // read and write, as this user
};

// Reads /sys, /dev, /lib and /usr through the seam; starts nothing.
std::vector<Finding> diagnose(Os& os, const DoctorFacts& facts);

// {"healthy", "findings": [{"subject", "attention", "text", "remedy"}]}
nlohmann::json findings_json(const std::vector<Finding>& findings);
std::string findings_text(const std::vector<Finding>& findings);
bool healthy(const std::vector<Finding>& findings);

}  // namespace gantry
