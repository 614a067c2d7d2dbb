// Seconds and joules of one placement, from rates that were measured on the machine (or are a data
// sheet's, for one that is not here). Pure.
#pragma once

#include <optional>

#include "plan/place.h"
#include "plan/plan.h"

namespace gantry {

// Where nothing was measured: only to compare ways with each other, never shown to a person.
struct Assumed {
  double cpu_bytes_per_s = 15e9, gpu_bytes_per_s = 250e9, link_bytes_per_s = 10e9,
         disk_bytes_per_s = 1.5e9;
  double cpu_flop_per_s = 100e9, gpu_flop_per_s = 10e12;
};

// Predicted; fields that no measurement supports are absent.
Speed predict_speed(const Machine& machine, const Wish& wish, const Choice& choice);

// Of one use (Usage) and of one load: always a number, by assumption where it must be.
double use_seconds(const Machine& machine, const Wish& wish, const Choice& choice);
double load_seconds(const Machine& machine, const Wish& wish, const Choice& choice);
double use_joules(const Machine& machine, const Wish& wish, const Choice& choice);

}  // namespace gantry
