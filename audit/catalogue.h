// Machines that are not here: graphics cards and hosts from data sheets, so that a plan needs no
// machine. Recorded: nothing in them was measured here.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "audit/machine.h"

namespace gantry {

// A row for a person who chooses: "rtx3060-12g", "NVIDIA GeForce RTX 3060, 12 GB; 8 cores, 32 GB".
struct CatalogueMachine {
  std::string id;
  std::string about;
  Bytes accelerator_memory;  // of all cards together; zero: processor only
};
// The smallest accelerator memory first; aliases and processors are not among the cards.
std::vector<CatalogueMachine> catalogue_machines();

// By id or alias ("arc"). Any two cards of the catalogue can be in one machine: "A+B". Nothing
// where the name is not known.
std::optional<Machine> catalogue_machine(std::string_view id);

// The known id nearest to a mistyped one.
std::string nearest_machine(std::string_view id);

}  // namespace gantry
