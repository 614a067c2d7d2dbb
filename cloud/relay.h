// Hands requests of one model to an endpoint somewhere else: what the daemon starts as a worker for
// a model in the cloud. Key, prices and cap are known here alone.
#pragma once

#include <memory>
#include <string>

#include "cloud/breaker.h"
#include "cloud/endpoint.h"
#include "cloud/ledger.h"

namespace gantry {

struct RelayOptions {
  EndpointOptions endpoint;
  std::string model;  // the endpoint's name of it; empty: what each request says
  Money price_in, price_out;  // of a million tokens; zero: not counted
  uint64_t answer_tokens = 4096;  // where a request does not say how many it wants at most
  std::function<void(const Error&)> tell = [](const Error&) {};  // what no client hears of
};

// The largest sum that a request can cost: its bytes as tokens, and the longest answer. Pure.
Money worst_cost(const RelayOptions& options, size_t request_bytes, uint64_t answer_tokens);

// POST /v1/chat/completions, /v1/completions, /v1/embeddings, /v1/responses and /v1/audio/speech go
// on with the endpoint's name of the model; answers come back as they come, with
// X-Gantry-Answered-By. GET /health: 503 while the breaker is open. Refusals are OpenAI's error
// objects: 402 where the cap would be passed, 503 with Retry-After while the endpoint rests, 502
// and 504 where it fails.
class Relay {
 public:
  // `ledger` may be null: spending is not counted. All must outlive the relay.
  Relay(RelayOptions options, Ledger* ledger, const Clock& clock);
  void answer(http::Exchange& exchange);  // from any thread

 private:
  void hand_on(http::Exchange& exchange, const std::string& path);

  const RelayOptions options_;
  Ledger* const ledger_;
  const Clock& clock_;
  Breaker breaker_;
};

}  // namespace gantry
