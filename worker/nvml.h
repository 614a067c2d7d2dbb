// NVIDIA's cards as their driver tells, through NVML found at run time: no header and no library of
// the vendor is needed to build.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace gantry {

// {"nvidia":[{"backend","description","kind","bus","total_bytes","free_bytes","temperature_c",
// "power_w","power_limit_w","energy_counter","throttled","link","holders"}],"trouble"}. A fact that
// the card or an old driver does not tell is absent. `trouble` says why NVML does not work; it is
// empty, as the list, where NVML is not installed. May hang or crash where the driver does.
nlohmann::json nvidia_cards(const std::string& library);

}  // namespace gantry
