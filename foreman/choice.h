// Which of several models answers, by how much work each makes of a second of sound. Pure.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "config/config.h"

namespace gantry {

struct Candidate {
  std::string name;
  std::string device;             // where it would compute
  bool fits = false;
  std::string trouble = {};       // why it does not
  std::optional<double> factor = {};  // seconds of work for a second of sound
  bool measured = false;          // on this machine, by its use; else predicted
};

// A model in use keeps up until it is so much above the limit, so that figures near it change
// nothing to and fro.
constexpr double kKeepUpSlack = 1.2;

// What a mode takes of the candidates (the best first), then each that is faster, the next one
// first; as places in the list. Empty: none fits.
//   accuracy: the first that fits
//   balanced: the first that fits and keeps up; where none does, the fastest
//   speed:    the fastest that fits, the better of equals
// Who has no figure is taken for a little faster than the better ones before it, and to keep up:
// one use of it tells. `current`: the one that answered last; empty: none did.
std::vector<size_t> ladder(std::span<const Candidate> best_first, Mode mode, double keep_up,
                           const std::string& current);

// Why the mode takes it, for a person.
std::string taken_why(const Candidate& taken, Mode mode, double keep_up);

// "0.31 s of work for a second of sound, measured"; "not measured yet".
std::string factor_text(const Candidate& candidate);

}  // namespace gantry
