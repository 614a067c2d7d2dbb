// What a process and a plugin have counted so far, and the difference between two such moments.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace gantry {

// "VmHWM:   123 kB" of /proc/PID/status, in bytes.
std::optional<uint64_t> status_field(std::string_view status, std::string_view name);
// "read_bytes: 123" of /proc/PID/io.
std::optional<uint64_t> io_field(std::string_view io, std::string_view name);

// {"peak_rss_bytes","anonymous_bytes","file_bytes"} of this process; what the system does not tell
// is null.
nlohmann::json own_memory();
// Bytes fetched from storage for this process since it started; nothing where the kernel does not
// count them.
std::optional<uint64_t> own_read_bytes();

// after - before for every counter: the numbers at the top level but sizes that stand still
// ("resident_bytes", ...), whose value afterwards is not a difference. Counters missing before are
// taken as zero.
nlohmann::json counted(const nlohmann::json& before, const nlohmann::json& after);

}  // namespace gantry
