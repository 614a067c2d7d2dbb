// SQLite's files on the simulated disk: the library itself, over bytes that a power loss can take.
#pragma once

#include "lab/sim/world.h"

namespace gantry::sim {

// SQLite's default from here on, for this process: once, before the first database is opened.
void install_vfs();
// Whose disk it is.
void use_disk(Fibers& fibers, World& world);

}  // namespace gantry::sim
