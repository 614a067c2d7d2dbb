// What one pass of a model does on one device, counted from its card: bytes, operations, steps.
#pragma once

#include <string>
#include <vector>

#include "plan/place.h"
#include "plan/plan.h"

namespace gantry {

// Matrices of one type.
struct Matrices {
  std::string type;     // "Q4_K"
  bool experts = false;
  double bytes = 0;
  double used = 1;      // share of them that one token visits
  double weights = 0;   // elements
};

// Consecutive layers on one device, and with `output` the output matrix.
struct Stretch {
  std::string device;
  bool plain = false;   // weights as the file has them
  uint32_t first = 0, count = 0;
  bool output = false;
};

struct PartWork {
  std::vector<Matrices> layers, output;
  double steps = 0;             // of the graph, in one pass
  double score_width = 0;       // heads x (key + value head), of all layers without window
  std::vector<std::pair<uint32_t, double>> windows;  // and of those with one: tokens, width
  double cache_bytes = 0;       // of a token in the KV cache, all layers
  double state_bytes = 0;       // read and written by each token
  double activations = 0;       // bytes moved between matrices for one token
};

// The parts of a placement in the order in which a pass goes through them; of one whose tensors are
// split, all of it for each device.
std::vector<Stretch> parts_of(const Wish& wish, const Choice& choice);
PartWork work_of(const Wish& wish, const Stretch& part);

// Elements in so many bytes of a type; of an unknown type as of F16.
double elements_of(const std::string& type, double bytes);
double bits_of(const std::string& type);  // per element

}  // namespace gantry
