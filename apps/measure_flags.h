// Flags of a measurement, for gantry-worker and for the benches built apart from it.
#pragma once

#include <CLI/CLI.hpp>

#include "worker/measure.h"

namespace gantry {

// Adds `measure`, which fills these options.
CLI::App* add_measure_command(CLI::App& app, MeasureOptions* options);

}  // namespace gantry
