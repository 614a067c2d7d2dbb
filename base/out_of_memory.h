// What a long-lived program does when there is no memory: it says so and ends. Nothing that was
// acknowledged lives in memory alone, so the next start goes on.
#pragma once

namespace gantry {

// From now on a failing `new` ends the process with exit status 4 and one line on stderr.
void exit_when_out_of_memory();

}  // namespace gantry
