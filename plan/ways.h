// All ways to run one model on a machine: devices, layers, splits, streaming, levers. The solver
// takes one of them for each model. No way depends on how much of a budget others leave, so that
// more memory only ever adds ways.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "plan/levers.h"
#include "plan/place.h"
#include "plan/plan.h"

namespace gantry {

// An engine can put layers there. NPUs come with their engine.
bool takes_layers(const Device& device);

struct Option {
  Choice choice;
  uint32_t setting = 0;      // which of Ways::settings
  bool cloud = false;
  double use = 0, load = 0;  // seconds, or joules, of one use and of one load
  double penalty = 0;        // of words that are not free (turn_of)
};

struct Ways {
  std::vector<Setting> settings;
  std::vector<Option> options;  // that fit alone, within the cap
  std::optional<Option> least;  // where there are none: what misses least
};

struct WayAsk {
  Prefer prefer = Prefer::kSpeed;
  uint32_t turn = 0;     // words of later turns are not used
  bool all = false;      // those that do not fit alone too: for an explanation
};

// So much more than any use takes; a word's turn counts kTurnRatio times the one before.
constexpr double kPenalty = 1e6;
constexpr double kTurnRatio = 300;

// Layers in single steps on one accelerator and between two that hold all; in sixteenths where the
// CPU has the rest or something is given up; in eighths over three accelerators and more, and
// where tensors are split.
Ways ways_of(const Machine& machine, const std::vector<Room>& rooms, const Wish& wish,
             const WayAsk& ask);

// What this model may use of a device: the budget, or its cap.
Bytes limit_of(const Machine& machine, const std::vector<Room>& rooms, const Wish& wish,
               std::string_view device);

// The chosen one, its streamer given what `rooms` leave where that makes it no slower.
Option with_room(const Machine& machine, const std::vector<Room>& rooms, const Setting& setting,
                 Option option);

}  // namespace gantry
