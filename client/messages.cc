// The NPU worker's shapes, and OpenAI's.
#include "client/messages.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/limits.h"

namespace gantry {

using nlohmann::json;

namespace {

std::string text_of(const json& body) {
  return body.dump(-1, ' ', false, json::error_handler_t::replace);
}

http::Request post(const char* target, const json& body) {
  return {"POST", target, {{"Content-Type", "application/json"}}, text_of(body)};
}

http::Request infer_message(const Order& order, Door door, const std::string& model) {
  json body = {{"model", model}, {"stream", true}};
  if (order.tokens_max > 0) body["max_tokens"] = order.tokens_max;
  if (order.temperature) body["temperature"] = *order.temperature;
  if (door == Door::kNpu) {
    body["prompt"] = order.texts.front();
    return post("/inference", body);
  }
  json messages = json::array();
  if (!order.system.empty()) messages.push_back({{"role", "system"}, {"content", order.system}});
  messages.push_back({{"role", "user"}, {"content", order.texts.front()}});
  body["messages"] = std::move(messages);
  return post("/v1/chat/completions", body);
}

http::Request transcribe_message(const Order& order, const std::string& model) {
  std::string mark = "gantry-client";
  while (order.recording.find(mark) != std::string::npos) mark += '-';
  std::string body;
  for (const auto& [name, value] :
       {std::pair{"model", model.c_str()}, {"response_format", "json"}}) {
    body += fmt::format("--{}\r\nContent-Disposition: form-data; name=\"{}\"\r\n\r\n{}\r\n", mark,
                        name, value);
  }
  body += fmt::format("--{}\r\nContent-Disposition: form-data; name=\"file\"; "
                      "filename=\"recording\"\r\n\r\n", mark);
  body += order.recording;
  body += fmt::format("\r\n--{}--\r\n", mark);
  return {"POST", "/v1/audio/transcriptions",
          {{"Content-Type", "multipart/form-data; boundary=" + mark}}, std::move(body)};
}

// A status says enough; the daemon's own word, where there is one, says more.
Error error_of(int status, const std::string& body) {
  Error error;
  error.code = status == 401 || status == 402 || status == 403   ? Code::kPermission
               : status == 404                                   ? Code::kNotFound
               : status == 413                                   ? Code::kTooLarge
               : status == 408 || status == 504                  ? Code::kTimeout
               : status == 429 || status == 503                  ? Code::kBusy
               : status >= 400 && status < 500                   ? Code::kUsage
                                                                 : Code::kWorkerFailed;
  error.message = fmt::format("status {}", status);
  const json answer = json::parse(body, nullptr, false);
  if (!answer.is_object() || !answer.contains("error")) return error;
  const json& told = answer["error"];
  if (!told.is_object()) return error;
  const auto message = told.find("message"), code = told.find("code");
  if (message != told.end() && message->is_string()) error.message = message->get<std::string>();
  if (code == told.end() || !code->is_string()) return error;
  const Code known = code_from_name(code->get<std::string>());
  if (known != Code::kInternal && known != Code::kCancelled) error.code = known;
  return error;
}

std::string string_at(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

Result<std::vector<float>> read_vector(const json& one) {
  const auto values = one.is_object() ? one.find("embedding") : one.end();
  if (!one.is_object() || values == one.end() || !values->is_array() || values->empty()) {
    return fail(Code::kCorrupt, "the answer holds no embedding");
  }
  std::vector<float> out;
  for (const json& value : *values) {
    if (!value.is_number()) return fail(Code::kCorrupt, "an embedding is no list of numbers");
    out.push_back(value.get<float>());
  }
  return out;
}

}  // namespace

std::string_view door_name(Door door) {
  switch (door) {
    case Door::kNpu: return "npu";
    case Door::kLocal: return "local";
    case Door::kCloud: return "cloud";
  }
  return "";
}

Result<http::Request> message_of(const Order& order, Door door, const std::string& model) {
  const bool npu = door == Door::kNpu;
  switch (order.work) {
    case Work::kEmbed:
      return post("/v1/embeddings",
                  {{"model", model}, {"input", order.texts}, {"encoding_format", "float"}});
    case Work::kInfer:
      if (npu && !order.system.empty()) {
        return fail(Code::kUnsupported, "it takes no system text");
      }
      return infer_message(order, door, model);
    case Work::kTranscribe:
      if (npu || door == Door::kCloud) return fail(Code::kUnsupported, "it takes no recordings");
      return transcribe_message(order, model);
    case Work::kSpeak: {
      if (npu) return fail(Code::kUnsupported, "it does not speak");
      json body = {{"input", order.texts.front()}, {"response_format", "wav"}};
      if (!model.empty()) body["model"] = model;
      if (!order.voice.empty()) body["voice"] = order.voice;
      return post("/v1/audio/speech", body);
    }
  }
  return fail(Code::kInternal, "no such work");
}

Reading::Reading(const Order& order, Door door) : order_(order), door_(door) {
  given_.by = door_name(door);
  given_.model = order.model;
}

// "cpu; model=near", or a relay's "cloud; host=...; model=large".
void Reading::signed_by(const http::Response& head) {
  constexpr std::string_view kModel = "; model=";
  const std::string_view by = head.header("X-Gantry-Answered-By");
  const size_t model = by.find(kModel);
  if (model == by.npos) return;
  given_.device = by.substr(0, by.find(';'));
  given_.model = by.substr(model + kModel.size());
  given_.why = head.header("X-Gantry-Why");
}

bool Reading::head(const http::Response& head) {
  status_ = head.status;
  events_ = status_ == 200 && head.header("Content-Type").starts_with("text/event-stream");
  signed_by(head);
  return true;
}

bool Reading::hand_on(std::string_view bytes, std::string* kept) {
  if (bytes.empty()) return true;
  if (!order_.on_piece) {
    too_large_ = kept->size() + bytes.size() > kHttpBodyMax.n;
    if (!too_large_) *kept += bytes;
    return !too_large_;
  }
  handed_on_ = true;
  unwanted_ = !order_.on_piece(bytes);
  return !unwanted_;
}

bool Reading::event(const std::string& text) {
  if (text == "[DONE]") {
    done_ = true;
    return true;
  }
  const json event = json::parse(text, nullptr, false);
  if (!event.is_object()) {
    error_ = Error{Code::kCorrupt, "the stream is not JSON events"};
    return false;
  }
  if (event.contains("error")) {
    error_ = error_of(500, text);
    return false;
  }
  if (door_ == Door::kNpu) {
    if (event.contains("done")) {
      done_ = true;
      given_.model = string_at(event, "model");
      given_.device = string_at(event, "device");
    }
    return hand_on(string_at(event, "text"), &given_.text);
  }
  const auto choices = event.find("choices");
  if (choices == event.end() || !choices->is_array() || choices->empty()) return true;
  const json& first = choices->front();
  if (!first.is_object() || !first.contains("delta") || !first["delta"].is_object()) return true;
  return hand_on(string_at(first["delta"], "content"), &given_.text);
}

bool Reading::piece(std::string_view bytes) {
  if (events_) {
    for (const std::string& text : lines_.feed(bytes)) {
      if (!event(text)) return false;
    }
    return true;
  }
  if (status_ == 200 && order_.work == Work::kSpeak) return hand_on(bytes, &given_.sound);
  too_large_ = body_.size() + bytes.size() > kHttpBodyMax.n;
  if (!too_large_) body_ += bytes;
  return !too_large_;
}

// Embeddings and transcripts come whole.
Result<void> Reading::read_whole() {
  const json answer = json::parse(body_, nullptr, false);
  if (!answer.is_object()) return fail(Code::kCorrupt, "the answer is no JSON object");
  if (given_.device.empty()) given_.device = string_at(answer, "device");
  if (order_.work == Work::kTranscribe) {
    if (!answer.contains("text")) return fail(Code::kCorrupt, "the answer has no text");
    given_.text = string_at(answer, "text");
    return {};
  }
  const auto data = answer.find("data");
  if (data == answer.end() || !data->is_array() || data->size() != order_.texts.size()) {
    return fail(Code::kCorrupt, "the answer has not as many embeddings as there are texts");
  }
  for (const json& one : *data) {
    Result<std::vector<float>> vector = read_vector(one);
    if (!vector) return fail(vector.error());
    given_.vectors.push_back(std::move(*vector));
  }
  return {};
}

Result<Given> Reading::end() {
  if (unwanted_) return fail(Code::kCancelled, "ended by whoever asked");
  if (too_large_) return fail(Code::kTooLarge, "the answer is too long");
  if (error_) return fail(*error_);
  if (status_ != 200) return fail(error_of(status_, body_));
  if (order_.work == Work::kInfer) {
    if (!done_) return fail(Code::kWorkerFailed, "the answer broke off");
  } else if (order_.work != Work::kSpeak) {
    if (Result<void> read = read_whole(); !read) return fail(read.error());
  }
  return std::move(given_);
}

}  // namespace gantry
