// From a name of the catalogue to what plan() asks for.
#pragma once

#include <optional>
#include <string_view>

#include "audit/machine.h"
#include "model/catalogue.h"
#include "plan/demand.h"

namespace gantry {

// The wish is named as the catalogue names the model in full ("llama3:8b@Q4_K_M"), and set as the
// daemon sets a model without configuration. Errors as catalogue_model().
[[nodiscard]] Result<Wish> catalogue_wish(std::string_view name);

// How long an external command works on so much sound there, in F32: a bound from its operations
// and from what it must read. Absent where the device's rates are not known.
std::optional<double> sound_seconds(const Device& device, const Accelerated& work, double audio_s);

}  // namespace gantry
