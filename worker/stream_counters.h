// A streaming worker's statistics page, as a value.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/os.h"
#include "worker/worker.h"

namespace gantry {

// The page is read, not mapped: a worker that cuts its file ends no reader. Nothing where the file
// is not there or is no page of this version.
std::optional<StreamCounters> read_stream_counters(Os& os, const std::string& file);
std::optional<StreamCounters> parse_stream_counters(std::string_view page);

}  // namespace gantry
