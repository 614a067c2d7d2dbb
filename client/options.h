// Who may be asked, and on what terms: the JSON that a client is opened with.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/os.h"
#include "base/result.h"

namespace gantry {

struct ClientOptions {
  std::string npu = "127.0.0.1:8081";    // the NPU worker; empty: none
  std::string local = "127.0.0.1:8484";  // the daemon, or "unix:PATH"; empty: none
  std::string cloud;                     // "https://api.example.com/v1"; empty: none
  Millis npu_limit{30'000}, local_limit{300'000}, cloud_limit{120'000};  // without a byte
  std::string key;        // of NPU worker and daemon
  std::string cloud_key;  // both from the environment alone
  std::string cloud_ca_file;
  std::map<std::string, std::string> cloud_models;  // our name of a model, and the endpoint's
  std::optional<std::vector<std::string>> cloud_allow;  // absent: all
  std::vector<std::string> cloud_deny;                  // wins
  std::optional<double> spend_max;                      // dollars a day
  double price_in = 0, price_out = 0;                   // dollars for a million tokens
  std::string ledger;
};

// kUsage names the field. GANTRY_HOST stands for `local` where that is not given; keys are read
// from GANTRY_API_KEY and from the variable that `cloud_key_env` names.
[[nodiscard]] Result<ClientOptions> read_client_options(std::string_view text, Os& os);

}  // namespace gantry
