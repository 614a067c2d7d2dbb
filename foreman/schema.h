// The schema of the job database as a list of steps. A released step is never edited.
#pragma once

#include <span>

#include "foreman/database.h"

namespace gantry {

std::span<const Migration> job_schema();

}  // namespace gantry
