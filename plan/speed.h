// Seconds and joules of one placement, from rates that were measured on the machine (or are a data
// sheet's, for one that is not here). Pure.
//
// The model: a pass takes, on each device that has a part of it, the sum over its matrices of
// max(bytes / decode rate, operations / prefill rate) of their quantisation, attention over what
// the cache holds, activations between the matrices, and a step for each operation of the graph.
// Parts on several devices follow each other. Devices that share every tensor compute at once, as
// long as the slowest, and then wait for sums that pass over the link (plan/slice.h). Where weights
// stream, a pass takes on an accelerator the longer one of computing and arriving, on the CPU both.
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
  double cpu_w = 65, gpu_w = 200;  // at work
  double command_s = 10;           // one use of an external command
};

// Predicted for the middle of one use (Wish::usage) of one sequence; fields that no measurement
// supports are absent. On a device that has a memory bandwidth and no rates decode is the bound
// that bandwidth sets.
Speed predict_speed(const Machine& machine, const Wish& wish, const Choice& choice);

// Of one use (Usage) and of one load: always a number, by assumption where it must be. A queue's
// jobs (Latency::kBatch) go through together: the time of one is its share.
double use_seconds(const Machine& machine, const Wish& wish, const Choice& choice);
double load_seconds(const Machine& machine, const Wish& wish, const Choice& choice);
double use_joules(const Machine& machine, const Wish& wish, const Choice& choice);

// How long an external command works on so much sound there, in F32: a bound from its operations
// and from what it must read. Absent where the device's rates are not known.
std::optional<double> sound_seconds(const Device& device, const Accelerated& work, double audio_s);

// What the devices of a choice whose tensors are split win for one token, each working on its share
// at once instead of one after another, and what waiting for each other takes back.
struct AtOnce {
  double link_bytes_per_s = 0;  // between the two that are furthest apart
  double link_s = 0, saved_s = 0;
};
AtOnce at_once(const Machine& machine, const Wish& wish, const Choice& choice);

}  // namespace gantry
