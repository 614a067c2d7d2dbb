// What devices are called by others than us: their engines, and the machine's other daemons. Pure.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "audit/machine.h"

namespace gantry {

// What makes a program see that device alone.
std::vector<std::pair<std::string, std::string>> device_environment(const Device& device);

// Each device's name among all daemons of the machine (docs/queue.md), by ours.
std::map<std::string, std::string> device_identities(const Machine& machine);

}  // namespace gantry
