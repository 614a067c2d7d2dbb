// Every limit of the system by name, each tested at n and n+1 where it is enforced.
#pragma once

#include <cstdint>

#include "base/bytes.h"
#include "base/clock.h"

namespace gantry {

// HTTP. A larger recording is submitted by path, which costs no copy.
constexpr Bytes kHttpHeaderMax = KiB(64);
constexpr Bytes kHttpBodyMax = MiB(64);
constexpr Bytes kHttpBodiesMax = MiB(256);  // bodies of all connections together
constexpr uint32_t kHttpConnectionsMax = 512;
constexpr Millis kHttpIdleTimeout{30'000};

// Untrusted files. Model metadata beyond this is no model that we know.
constexpr Bytes kModelMetadataMax = MiB(512);
constexpr Bytes kConfigMax = MiB(1);
constexpr Bytes kImageMax = MiB(32);
constexpr Bytes kPromptMax = MiB(8);

// Audio. Ten hours of 16 kHz mono.
constexpr Millis kAudioMax{10LL * 3600 * 1000};

// Queue.
constexpr uint32_t kJobAttemptsMax = 3;
// Attempts that ended with the daemon. That is hardly ever the job's doing (its bytes are opened in
// workers), so more of them are allowed; but a job that does bring the daemon down must end.
constexpr uint32_t kJobLostMax = 20;
constexpr uint32_t kJobFilesMax = 4096;
constexpr Bytes kJobSpecMax = MiB(1);
constexpr uint64_t kJobsUnfinishedMax = 1'000'000;
constexpr Bytes kCheckpointMax = MiB(64);
constexpr Bytes kJobResultMax = MiB(64);
constexpr uint32_t kJobEventsMax = 256;  // kept a job for those who watch; older ones are dropped
constexpr Bytes kJobEventMax = KiB(64);
constexpr uint32_t kModelsMax = 1024;
constexpr uint32_t kLoadsKept = 100;        // of the history, for one model
constexpr uint32_t kLoadsKeptAll = 10'000;  // for all of them
// A model that failed to load so often in a row within the window is not tried until it is over.
constexpr uint32_t kLoadFailuresMax = 3;
constexpr Millis kLoadFailureWindow{60'000};

// Workers.
constexpr Millis kCardProbeMax{30'000};
constexpr Millis kWorkerReadyMax{180'000};
constexpr Millis kWorkerStopMax{5'000};
constexpr Bytes kWorkerLogMax = MiB(4);  // per log file, two are kept
constexpr uint32_t kErrorLogLines = 8;   // last lines of a worker's log shown in an error

}  // namespace gantry
