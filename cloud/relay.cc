// Requests on, answers back, and the bill.
#include "cloud/relay.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cloud/usage.h"
#include "http/message.h"

namespace gantry {

namespace {

using nlohmann::json;

constexpr std::string_view kPaths[] = {"/v1/chat/completions", "/v1/completions",
                                       "/v1/embeddings", "/v1/responses",
                                       "/v1/audio/speech"};
constexpr uint64_t kAnswerTokensMax = 1U << 24;

http::Response refusal(int status, const char* code, const Error& error) {
  const std::string message = describe(error);
  const json body = {{"error", {{"message", message}, {"type", "gantry_relay"}, {"code", code}}}};
  return {status, {{"Content-Type", "application/json"}},
          body.dump(-1, ' ', false, json::error_handler_t::replace)};
}

Money cost_of(const RelayOptions& options, uint64_t prompt, uint64_t completion) {
  const double micros =
      (static_cast<double>(options.price_in.micros) * static_cast<double>(prompt) +
       static_cast<double>(options.price_out.micros) * static_cast<double>(completion)) / 1e6;
  return dollars(micros / 1e6);
}

uint64_t wanted_tokens(const json& request, uint64_t otherwise) {
  for (const char* key : {"max_completion_tokens", "max_output_tokens", "max_tokens"}) {
    const auto found = request.find(key);
    if (found != request.end() && found->is_number_unsigned()) {
      return std::min(found->get<uint64_t>(), kAnswerTokensMax);
    }
  }
  return otherwise;
}

std::string host_of(std::string_view url) {
  url.remove_prefix(std::min(url.size(), url.find("://") + 3));
  return std::string(url.substr(0, url.find('/')));
}

// Failures that say something about the endpoint, not about the request.
bool is_failure(int status) { return status >= 500; }

// One answer on its way back to the client.
class Answer {
 public:
  Answer(http::Exchange& exchange, const RelayOptions& options, std::string model, bool events)
      : exchange_(exchange), options_(options), model_(std::move(model)), usage_(events) {}

  bool begin(const EndpointHead& head) {
    status_ = head.status;
    http::Headers headers = {
        {"Content-Type", head.content_type.empty() ? "application/json" : head.content_type},
        {"X-Gantry-Answered-By",
         fmt::format("cloud; host={}; model={}", host_of(options_.endpoint.url), model_)}};
    if (!head.retry_after.empty()) headers.emplace_back("Retry-After", head.retry_after);
    // A redirect would take the key elsewhere; whoever asked cannot follow it either.
    const int status = status_ >= 300 && status_ < 400 ? 502 : status_;
    begun_ = true;
    return exchange_.begin({status, headers, {}}).has_value();
  }
  bool piece(std::string_view bytes) {
    usage_.feed(bytes);
    return exchange_.write(bytes).has_value();
  }

  bool begun() const { return begun_; }
  int status() const { return status_; }
  std::optional<Usage> usage() { return usage_.usage(); }

 private:
  http::Exchange& exchange_;
  const RelayOptions& options_;
  const std::string model_;
  UsageReader usage_;
  bool begun_ = false;
  int status_ = 0;
};

}  // namespace

Money worst_cost(const RelayOptions& options, size_t request_bytes, uint64_t answer_tokens) {
  return cost_of(options, request_bytes, answer_tokens);
}

Relay::Relay(RelayOptions options, Ledger* ledger, const Clock& clock)
    : options_(std::move(options)), ledger_(ledger), clock_(clock) {}

void Relay::answer(http::Exchange& exchange) {
  const http::Request& request = exchange.request();
  const std::string path(request.path());
  if (request.method == "GET" && path == "/health") {
    const bool open = breaker_.open(clock_.steady());
    const json body = {{"status", open ? "resting" : "ok"}, {"model", options_.model},
                       {"host", host_of(options_.endpoint.url)}};
    return exchange.reply({open ? 503 : 200, {{"Content-Type", "application/json"}}, body.dump()});
  }
  const bool known = std::ranges::find(kPaths, path) != std::end(kPaths);
  if (request.method != "POST" || !known) {
    return exchange.reply(refusal(404, "not_found", {Code::kNotFound, path + " is not relayed"}));
  }
  hand_on(exchange, path);
}

void Relay::hand_on(http::Exchange& exchange, const std::string& path) {
  json request = json::parse(exchange.request().body, nullptr, false);
  if (!request.is_object()) {
    return exchange.reply(
        refusal(400, "invalid_request", {Code::kUsage, "the body is no JSON object"}));
  }
  if (!options_.model.empty()) request["model"] = options_.model;
  request.erase("private");  // ours: what is private does not come here
  const json named = request.value("model", json());
  if (!named.is_string()) {
    return exchange.reply(refusal(400, "invalid_request", {Code::kUsage, "model is no text"}));
  }
  if (const auto wait = breaker_.wait(clock_.steady())) {
    http::Response rest = refusal(
        503, "endpoint_rests",
        {Code::kUnavailable,
         options_.endpoint.url + " has failed again and again and is left alone",
         "try again later, or use a model that is here"});
    rest.headers.emplace_back("Retry-After", std::to_string(wait->count() / 1000 + 1));
    return exchange.reply(std::move(rest));
  }
  const auto stream = request.find("stream");
  const bool events = stream != request.end() && stream->is_boolean() && stream->get<bool>();
  // Only so does a stream say what it used.
  if (events && path != "/v1/responses") request["stream_options"]["include_usage"] = true;
  const std::string body = request.dump(-1, ' ', false, json::error_handler_t::replace);
  const WallTime begun = clock_.wall();
  const uint64_t longest =
      path == "/v1/embeddings" || path == "/v1/audio/speech"
          ? 0
          : wanted_tokens(request, options_.answer_tokens);
  const Money worst = worst_cost(options_, body.size(), longest);
  if (ledger_ != nullptr) {
    if (Result<void> taken = ledger_->take(worst, begun); !taken) {
      breaker_.ended(true, clock_.steady());  // the endpoint had no part in it
      const bool cap = taken.error().code == Code::kPermission;
      return exchange.reply(
          refusal(cap ? 402 : 500, cap ? "spending_cap" : "ledger", taken.error()));
    }
  }
  Answer answer(exchange, options_, http::printable(named.get_ref<const std::string&>()), events);
  const Result<void> done = post_to_endpoint(
      options_.endpoint, path.substr(3), body, exchange.gone(),  // the address ends with /v1
      {[&](const EndpointHead& head) { return answer.begin(head); },
       [&](std::string_view piece) { return answer.piece(piece); }});
  const bool gone = !done && done.error().code == Code::kCancelled;
  breaker_.ended(gone || (done && !is_failure(answer.status())), clock_.steady());
  if (ledger_ != nullptr) {
    // A refusal costs nothing. What broke off, or did not say, may have cost all of it.
    const std::optional<Usage> used = done ? answer.usage() : std::nullopt;
    Money back;
    if (done && answer.status() >= 300) back = worst;
    else if (used) back.micros = worst.micros - cost_of(options_, used->prompt,
                                                        used->completion).micros;
    if (Result<void> kept = ledger_->give_back(back, begun, clock_.wall()); !kept) {
      options_.tell(kept.error());
    }
  }
  if (!done && !answer.begun()) {
    const bool late = done.error().code == Code::kTimeout;
    exchange.reply(refusal(late ? 504 : 502, "endpoint_failed", done.error()));
  }
}

}  // namespace gantry
