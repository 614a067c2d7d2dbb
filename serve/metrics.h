// Counters of the server, and the whole of /metrics in Prometheus text.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "foreman/client.h"

namespace gantry {

// Requests by route pattern and status: bounded, since both come from our own tables.
// Thread-safe.
class RequestCounts {
 public:
  void add(std::string_view route, int status);
  std::map<std::pair<std::string, int>, uint64_t> all() const;

 private:
  mutable std::mutex mutex_;
  std::map<std::pair<std::string, int>, uint64_t> counts_;
};

// One moment, as a value.
struct MetricsInput {
  std::string version;
  std::vector<LedgerStatus> ledger;
  std::vector<ModelStatus> models;
  std::vector<LoadSeen> loads;  // the last of each model
  std::vector<ModeStatus> modes;
  JobTally jobs;
  std::map<std::pair<std::string, int>, uint64_t> requests;
  uint32_t connections = 0;
  uint32_t working = 0;
  Bytes resident;  // of this process
};

std::string render_metrics(const MetricsInput& input);

// Resident bytes from the text of /proc/self/statm; zero when it is not that.
Bytes resident_of(std::string_view statm, uint64_t page_bytes);

}  // namespace gantry
