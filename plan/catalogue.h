// From a name of the catalogue to what plan() asks for.
#pragma once

#include <string_view>

#include "model/catalogue.h"
#include "plan/demand.h"

namespace gantry {

// The wish is named as the catalogue names the model in full ("llama3:8b@Q4_K_M"), and set as the
// daemon sets a model without configuration. Errors as catalogue_model().
[[nodiscard]] Result<Wish> catalogue_wish(std::string_view name);

}  // namespace gantry
