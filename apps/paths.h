// Where a daemon's door is: a private folder that depends on the state directory alone, short
// enough for unix socket names (108 bytes).
#pragma once

#include <string>

#include "base/os.h"

namespace gantry {

// --state-dir, else GANTRY_STATE_DIR, else XDG_STATE_HOME/gantry, else ~/.local/state/gantry;
// absolute.
[[nodiscard]] Result<std::string> state_directory(Os& os, const std::string& flag);

// $XDG_RUNTIME_DIR/gantry or /tmp/gantry-UID, then a hash of the state directory. Made with mode
// 0700; kPermission when it belongs to somebody else.
[[nodiscard]] Result<std::string> runtime_directory(Os& os, const std::string& state_dir);

// The daemon's unix socket in that folder.
std::string socket_path(const std::string& runtime_dir);

// Relative to the current folder, without resolving links.
std::string absolute_path(const std::string& path);

// A program of ours: beside this one.
std::string sibling_program(Os& os, const std::string& name);

}  // namespace gantry
