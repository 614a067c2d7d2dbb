// The foreman's values as JSON: the shapes that scripts rely on.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "foreman/client.h"

namespace gantry {

// {"id","kind","state","attempts","device","result","error", and more}. "result" is null unless
// `result` is given: then its value when it is a JSON object or array, else the text.
nlohmann::json job_json(const Job& job, const std::string* result = nullptr);

nlohmann::json model_json(const ModelStatus& model);    // one of GET /v1/models
nlohmann::json running_json(const ModelStatus& model);  // one of GET /running
nlohmann::json load_json(const LoadSeen& load);         // one of GET /v1/history
nlohmann::json ledger_json(const LedgerStatus& device);  // one of its "devices"
nlohmann::json lease_json(const LeaseStatus& lease);     // one of GET /v1/leases
nlohmann::json mode_json(const ModeStatus& mode);        // one of GET /v1/modes

}  // namespace gantry
