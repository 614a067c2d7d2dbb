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
constexpr uint32_t kJobEvidenceMax = 12;  // attempts kept with a job; the list then starts anew
constexpr uint32_t kJobDependsMax = 256;
constexpr uint32_t kJobEventsMax = 256;  // kept a job for those who watch; older ones are dropped
constexpr Bytes kJobEventMax = KiB(64);
constexpr uint32_t kModelsMax = 1024;
constexpr uint32_t kLoadsKept = 100;        // of the history, for one model
constexpr uint32_t kLoadsKeptAll = 10'000;  // for all of them
constexpr uint32_t kPacesKept = 256;        // models by file, settings and device
// A model whose starts ended badly so often in a row rests before the next: 0, 1, 2, 4 ... 60 s.
// Who asks for it meanwhile waits, from the third on is told.
constexpr uint32_t kLoadFailuresMax = 3;
constexpr Millis kRestMax{60'000};
constexpr Millis kHealthyAfter{600'000};  // of good work: it starts from 0 again
// A device on which a model failed is not used for it so long, then twice as long, to an hour.
constexpr Millis kShunFirst{60'000};
constexpr Millis kShunMax{3'600'000};

// Workers.
constexpr Millis kCardProbeMax{30'000};
constexpr Millis kWorkerReadyMax{180'000};
constexpr Millis kWorkerStopMax{5'000};
constexpr Millis kLeaseGrace{10'000};  // for a program to end, once its time is over
constexpr Millis kLeaseBeat{10'000};   // between two looks at all holders
constexpr Bytes kWorkerLogMax = MiB(4);  // per log file, two are kept
constexpr uint32_t kErrorLogLines = 8;   // last lines of a worker's log shown in an error

}  // namespace gantry
