// External commands as llama-swap declares them: any program that answers HTTP on ${PORT}.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "worker/worker.h"

namespace gantry {

// As `proxy` of a WorkerSpec: the command is one of ours, told by --socket where to answer.
constexpr const char* kOwnSocket = "own-socket";

// Pure: splits like a POSIX shell does, and nothing else of one: blanks and line breaks part words,
// '...' is literal, "..." keeps blanks and knows \" and \\, a backslash takes the next character
// as it is and joins lines at their end, # begins a comment line. $, *, ; and | are plain
// characters. kUsage: empty, an open quote, over kCommandMax bytes.
[[nodiscard]] Result<std::vector<std::string>> split_command(std::string_view text);

constexpr size_t kCommandMax = 64 << 10;

// Pure: every ${PORT} becomes the port.
std::string with_port(std::string_view text, uint16_t port);

// A TCP port of the loopback address that nobody holds now; somebody may take it before it is used.
[[nodiscard]] Result<uint16_t> free_port();

[[nodiscard]] Result<std::unique_ptr<Worker>> start_command(Os& os, const WorkerContext& context,
                                                            const WorkerSpec& spec);

}  // namespace gantry
