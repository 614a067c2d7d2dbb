// Passing a worker's answer on.
#include "serve/proxy.h"

#include <charconv>
#include <nlohmann/json.hpp>

#include "http/message.h"
#include "pipe/ask.h"

namespace gantry {

using nlohmann::json;

namespace {

constexpr size_t kErrorBodyMax = 64 << 10;
constexpr const char* kAnsweredBy = "X-Gantry-Answered-By";

// A number at the head of `text`, and `behind` after it: both are taken off.
std::optional<uint32_t> take_number(std::string_view* text, std::string_view behind) {
  uint32_t number = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), number);
  if (error != std::errc()) return std::nullopt;
  text->remove_prefix(static_cast<size_t>(end - text->data()));
  if (!text->starts_with(behind)) return std::nullopt;
  text->remove_prefix(behind.size());
  return number;
}

// What llama-server says, as a fault of its own, of a text that does not go through an encoder in
// one batch. Our workers' batch is the context, so that is what the text is too long for.
std::optional<ApiError> text_too_long(std::string_view message) {
  constexpr std::string_view kBegin = "input (";
  if (!message.starts_with(kBegin)) return std::nullopt;
  message.remove_prefix(kBegin.size());
  const auto tokens = take_number(&message,
                                  " tokens) is too large to process. increase the physical "
                                  "batch size (current batch size: ");
  if (!tokens) return std::nullopt;
  const auto most = take_number(&message, ")");
  if (!most) return std::nullopt;
  return bad_request("a text of " + std::to_string(*tokens) +
                         " tokens is too long, the model takes " + std::to_string(*most) +
                         " (send it in parts, or give the model a larger context if it was "
                         "trained with one)",
                     "input");
}

// One answer of a worker on its way to the client.
class Passing {
 public:
  Passing(Call& call, Session& session) : call_(call), session_(session) {}

  // The answer, or nothing when it was streamed or nobody is there to read it.
  std::optional<http::Response> run(const std::string& target) {
    http::Request request;
    request.method = "POST";
    request.target = target;
    request.headers = {{"Content-Type", "application/json"}};
    request.body = call_.request().body;
    http::FetchOptions options;
    options.cancel = &call_.exchange.gone();
    options.idle_timeout = call_.api.options.worker_idle_timeout;
    options.on_head = [this](const http::Response& head) { return take_head(head); };
    options.on_piece = [this](std::string_view piece) { return take_piece(piece); };
    const auto fetched = http::fetch(session_.worker().address(), request, options);
    return fetched ? finish() : fail_with(fetched.error());
  }

 private:
  bool take_head(const http::Response& head) {
    status_ = head.status;
    relay_ = std::string(head.header(kAnsweredBy));
    type_ = std::string(head.header("Content-Type"));
    streaming_ = status_ == 200 && type_.starts_with("text/event-stream");
    if (!streaming_) return true;
    http::Response begin;
    begin.headers = {{"Content-Type", type_}, {"Cache-Control", "no-cache"}};
    return call_.exchange.begin(signed_by(std::move(begin), session_, relay_)).has_value();
  }

  bool take_piece(std::string_view piece) {
    if (streaming_) {
      const std::string_view lines = lines_.feed(piece);
      note_pace(lines);
      return call_.exchange.write(lines).has_value();
    }
    if (status_ == 200 || body_.size() < kErrorBodyMax) body_ += piece;
    return true;
  }

  // Of a whole answer, or of the event that ends a stream.
  void note_pace(std::string_view text) {
    const size_t at = text.find("\"timings\"");
    if (at == text.npos) return;
    if (streaming_) {
      const size_t start = text.rfind('\n', at);
      text = text.substr(start == text.npos ? 0 : start + 1);
      text = text.substr(0, text.find('\n'));
      if (text.starts_with("data:")) text.remove_prefix(5);
    }
    const json answer = json::parse(text, nullptr, false);
    if (!answer.is_object()) return;
    if (const auto pace = pace_of(answer)) session_.decoded(pace->tokens, pace->seconds);
  }

  std::optional<http::Response> finish() {
    if (streaming_) {
      (void)call_.exchange.write(lines_.rest());
      return std::nullopt;
    }
    http::Response answer = error_response(worker_answer_error(status_, body_));
    if (status_ == 200) {
      note_pace(body_);
      answer = text_response(200, type_.empty() ? "application/json" : type_, std::move(body_));
    }
    return signed_by(std::move(answer), session_, relay_);
  }

  std::optional<http::Response> fail_with(const Error& fetch_error) {
    if (call_.exchange.gone()) return std::nullopt;
    Error error = fetch_error;
    // A worker that died says more than the connection it dropped.
    const auto alive = session_.worker().alive();
    if (!alive) {
      error = alive.error();
    } else if (error.code == Code::kUnavailable || error.code == Code::kCorrupt) {
      error.code = Code::kWorkerFailed;
    }
    call_.api.log.warn("worker_failed",
                       {{"model", session_.model()}, {"error", error.message}});
    if (!streaming_) return error_response(api_error(error));
    (void)call_.exchange.write("data: " + dump(error_json(api_error(error))) + "\n\n");
    return std::nullopt;
  }

  Call& call_;
  Session& session_;
  int status_ = 0;
  std::string type_, relay_;
  bool streaming_ = false;
  WholeLines lines_;
  std::string body_;
};

}  // namespace

void proxy(Call& call, const std::string& model, const Use& use, bool stays) {
  const bool local = call.exchange.local();
  if (const auto refusal = refuse_name(call.api.foreman.models(), model, use, local)) {
    return call.reply(*refusal);
  }
  auto session = call.api.foreman.open(model, call.exchange.gone(), local, stays);
  const auto models = call.api.foreman.models();
  if (!session) return call.reply(open_error(session.error(), models, model));
  if (const auto refusal = refuse_kind(models, (*session)->model(), use)) {
    return call.reply(*refusal);
  }
  auto response = Passing(call, **session).run(std::string(use.endpoint));
  session->reset();  // who has the answer may count on the model being free
  if (response) call.reply(std::move(*response));
}

http::Response signed_by(http::Response response, const Session& session,
                         const std::string& relay) {
  const std::string here = session.device() + "; model=" + http::printable(session.model());
  response.headers.emplace_back(kAnsweredBy, relay.empty() ? here : http::printable(relay));
  const std::string why = session.why();
  if (!why.empty()) response.headers.emplace_back("X-Gantry-Why", http::printable(why));
  return response;
}

ApiError worker_answer_error(int status, std::string_view body) {
  ApiError error;
  error.status = status >= 400 && status < 600 ? status : 502;
  if (error.status == 500) error.status = 502;  // the fault is the worker's, not the daemon's
  // What an endpoint in the cloud says of its key, of money and of permission is no wrong usage.
  const bool barred = error.status >= 401 && error.status <= 403;
  const Code code = barred               ? Code::kPermission
                    : error.status < 500 ? Code::kUsage
                                         : Code::kWorkerFailed;
  error.code = std::string(code_name(code));
  error.message = "the worker answered with status " + std::to_string(status);
  const auto parsed = parse_json_object(body);
  if (!parsed) return error;
  const auto inner = parsed->find("error");
  if (inner == parsed->end()) return error;
  if (inner->is_string()) error.message = inner->get<std::string>();
  if (!inner->is_object()) return error;
  const auto message = inner->find("message");
  if (message != inner->end() && message->is_string()) error.message = message->get<std::string>();
  return status == 500 ? text_too_long(error.message).value_or(error) : error;
}

std::string_view WholeLines::feed(std::string_view piece) {
  ready_ = std::move(pending_);
  pending_.clear();
  ready_ += piece;
  const size_t end = ready_.rfind('\n');
  const size_t keep = end == ready_.npos ? 0 : end + 1;
  if (ready_.size() - keep <= kLineMax) {
    pending_ = ready_.substr(keep);
    ready_.resize(keep);
  }
  return ready_;
}

}  // namespace gantry
