// Levers: what may be given up so that a model fits, and in which order the user wants that.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "plan/demand.h"

namespace gantry {

// The words of Shortage, precisely. A model that fits as it was wished uses none of them.
//   wait    it may take turns: be unloaded for others and loaded again
//   shrink  its levers and its alternatives: what is there is less or worse than was wished
//   cpu     layers computed on the CPU of a machine that has an accelerator to compute on
//   cloud   it goes to an endpoint, with no byte here
//   refuse  the end of the list: it does not fit
// A list is tried word by word, for all models at once: with the first word of each, then with
// the first two ... and the first that is enough is taken. A word that is not in the list is not
// to be used. Without a list waiting and the CPU are as good as any other way, whatever is
// fastest; shrinking comes after them, and the cloud never.
// The turn of a word, from 0; absent: never.
std::optional<uint32_t> turn_of(const Wish& wish, Shortage word);
uint32_t turns_of(const Wish& wish);  // after so many there is nothing more to try

// One setting of all levers.
struct Setting {
  Wish wish;                          // as it would run
  std::string alternative;            // whose file it is; empty: the wished model's
  std::vector<std::string> given_up;  // for a person
  uint32_t steps = 0;                 // how much; 0: nothing
};
constexpr uint32_t kStepsMax = 250;  // of any setting
constexpr size_t kAlternativesMax = 8;

// As wished comes first; with `shrink` all combinations of the levers that change anything.
std::vector<Setting> settings_of(const Wish& wish, bool shrink);

// Takes the file of that type, "Q4_K" or "Q4_K_M", among the wished one and its alternatives; no
// other is left then. kUsage where there is none.
[[nodiscard]] Result<void> insist_on_type(std::string_view compute_type, Wish* wish);

std::string_view shortage_name(Shortage word);  // "wait", ...
[[nodiscard]] Result<Shortage> parse_shortage(std::string_view word);

}  // namespace gantry
