// The kind "summarize": a text of any length in a model's own window.
#pragma once

#include <memory>

#include "foreman/client.h"

namespace gantry {

std::unique_ptr<Executor> make_summarize(Os& os);

}  // namespace gantry
