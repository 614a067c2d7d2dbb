// Questions to a chat endpoint, and reading its stream.
#include "pipe/ask.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/base64.h"

namespace gantry {

namespace {

constexpr Bytes kEventLineMax = MiB(1);

std::string_view picture_type(std::string_view bytes) {
  if (bytes.starts_with("\x89PNG\r\n\x1a\n")) return "image/png";
  if (bytes.starts_with("\xff\xd8\xff")) return "image/jpeg";
  if (bytes.starts_with("GIF8")) return "image/gif";
  if (bytes.starts_with("BM")) return "image/bmp";
  return {};
}

Result<nlohmann::json> picture(Os& os, const std::string& file) {
  Result<std::string> bytes = os.read_file(file, kImageMax);
  if (!bytes) return fail(bytes.error());
  const std::string_view type = picture_type(*bytes);
  if (type.empty()) {
    return fail(Code::kUnsupported, file + " is not a picture that can be read",
                "give a PNG, JPEG, BMP or GIF file");
  }
  return nlohmann::json{
      {"type", "image_url"},
      {"image_url", {{"url", fmt::format("data:{};base64,{}", type, base64(*bytes))}}}};
}

Error refusal(const http::Response& head, std::string_view body) {
  std::string cause = fmt::format("the model answered with status {}", head.status);
  const nlohmann::json parsed = nlohmann::json::parse(body, nullptr, false);
  if (parsed.is_object() && parsed.contains("error") && parsed["error"].is_object()) {
    const std::string words = parsed["error"].value("message", "");
    if (!words.empty()) cause += ": " + words;
  }
  return {head.status == 400 ? Code::kUsage : Code::kWorkerFailed, cause, {}};
}

// What ended a connection is told better by the process than by the socket, which is heard of
// first: a dying process closes its sockets before it can be waited for.
Error told_by_worker(Os& os, Session& session, Error heard) {
  constexpr Millis kPatience{1'000}, kPoll{10};
  if (heard.code != Code::kUnavailable && heard.code != Code::kWorkerFailed) return heard;
  for (Millis waited{0}; waited < kPatience; waited += kPoll) {
    if (Result<void> alive = session.worker().alive(); !alive) return alive.error();
    os.sleep(kPoll);
  }
  return heard;
}

}  // namespace

Result<std::string> chat_body(Os& os, const std::string& model, const Question& question) {
  nlohmann::json content = nlohmann::json::array();
  for (const std::string& file : question.images) {
    Result<nlohmann::json> part = picture(os, file);
    if (!part) return fail(part.error());
    content.push_back(std::move(*part));
  }
  if (content.empty()) {
    content = question.prompt;
  } else {
    content.push_back({{"type", "text"}, {"text", question.prompt}});
  }
  nlohmann::json messages = nlohmann::json::array();
  if (!question.system.empty()) {
    messages.push_back({{"role", "system"}, {"content", question.system}});
  }
  messages.push_back({{"role", "user"}, {"content", std::move(content)}});
  nlohmann::json body = {{"model", model},
                         {"messages", std::move(messages)},
                         {"temperature", question.temperature},
                         {"seed", question.seed},
                         {"max_tokens", question.tokens_max},
                         {"stream", true}};
  if (question.stays) body["private"] = true;
  return body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::optional<Pace> pace_of(const nlohmann::json& answer) {
  const auto timings = answer.find("timings");
  if (timings == answer.end() || !timings->is_object()) return std::nullopt;
  const auto tokens = timings->find("predicted_n"), ms = timings->find("predicted_ms");
  if (tokens == timings->end() || !tokens->is_number_unsigned()) return std::nullopt;
  if (ms == timings->end() || !ms->is_number() || !(ms->get<double>() > 0)) return std::nullopt;
  return Pace{tokens->get<uint64_t>(), ms->get<double>() / 1000};
}

Result<void> ChatStream::line(std::string_view text, std::string* out) {
  if (text.empty() || text.front() == ':') return {};
  if (text.starts_with("data:")) text.remove_prefix(5);
  if (text.starts_with(" ")) text.remove_prefix(1);
  if (text == "[DONE]") {
    done_ = true;
    return {};
  }
  const nlohmann::json event = nlohmann::json::parse(text, nullptr, false);
  if (!event.is_object()) return fail(Code::kCorrupt, "the model's stream is not JSON events");
  if (event.contains("error")) {
    const nlohmann::json& error = event["error"];
    const std::string words = error.is_object() ? error.value("message", error.dump())
                                                : error.dump();
    return fail(Code::kWorkerFailed, "the model stopped: " + words);
  }
  if (const std::optional<Pace> pace = pace_of(event)) pace_ = pace;
  if (!event.contains("choices") || !event["choices"].is_array()) return {};
  for (const nlohmann::json& choice : event["choices"]) {
    if (!choice.is_object() || !choice.contains("delta") || !choice["delta"].is_object()) continue;
    const auto content = choice["delta"].find("content");
    if (content != choice["delta"].end() && content->is_string()) {
      *out += content->get<std::string>();
    }
  }
  return {};
}

Result<std::string> ChatStream::feed(std::string_view piece) {
  pending_ += piece;
  std::string out;
  for (size_t end = 0; (end = pending_.find('\n')) != std::string::npos;) {
    std::string_view text(pending_.data(), end);
    if (text.ends_with('\r')) text.remove_suffix(1);
    if (Result<void> read = line(text, &out); !read) return fail(read.error());
    pending_.erase(0, end + 1);
  }
  if (pending_.size() > kEventLineMax.n) {
    return fail(Code::kTooLarge, "an event of the model's stream is too long");
  }
  return out;
}

Result<std::string> ask(Os& os, Session& session, const Question& question,
                        const http::Cancel& cancel,
                        const std::function<void(std::string_view)>& on_text) {
  Result<std::string> body = chat_body(os, session.model(), question);
  if (!body) return fail(body.error());
  http::Request request{"POST", "/v1/chat/completions", {{"Content-Type", "application/json"}},
                        std::move(*body)};
  ChatStream stream;
  std::string answer, refused;
  std::optional<Error> broken;
  http::Response head;
  http::FetchOptions options;
  options.cancel = &cancel;
  options.on_head = [&](const http::Response& got) {
    head = got;
    return true;
  };
  options.on_piece = [&](std::string_view piece) {
    if (head.status != 200) {
      refused += piece;
      return refused.size() < MiB(1).n;
    }
    Result<std::string> text = stream.feed(piece);
    if (!text) {
      broken = text.error();
      return false;
    }
    answer += *text;
    if (on_text && !text->empty()) on_text(*text);
    return true;
  };
  const Result<http::Response> got = http::fetch(session.worker().address(), request, options);
  if (broken) return fail(*broken);
  if (!got) {
    return fail(told_by_worker(os, session, got.error()));
  }
  if (head.status != 200) return fail(refusal(head, refused));
  if (!stream.done()) {
    return fail(told_by_worker(os, session, {Code::kWorkerFailed, "the model's answer broke off"}));
  }
  if (stream.pace()) session.decoded(stream.pace()->tokens, stream.pace()->seconds);
  return answer;
}

}  // namespace gantry
