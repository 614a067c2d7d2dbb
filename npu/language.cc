// llama-server's own endpoints: template, tokens, completion.
#include "npu/language.h"

#include <fmt/format.h>

#include <algorithm>

#include "http/stream_lines.h"
#include "model/card.h"
#include "npu/device_chain.h"

namespace gantry {

namespace {

using nlohmann::json;

constexpr Bytes kAnswerBytesMax = MiB(8);

Error unreadable(const std::string& name) {
  return {Code::kWorkerFailed, "the process of " + name + " answered with something else", ""};
}

std::string text_at(const json& object, const char* key) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  return object.is_object() && found != object.end() && found->is_string()
             ? found->get<std::string>()
             : std::string();
}

uint64_t count_at(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number_unsigned() ? found->get<uint64_t>() : 0;
}

void finish(const json& last, Answer* answer) {
  answer->finish = text_at(last, "stop_type") == "limit" ? "length" : "stop";
  answer->prompt_tokens = count_at(last, "tokens_evaluated");
  answer->tokens = count_at(last, "tokens_predicted");
}

}  // namespace

Result<std::unique_ptr<LanguageModel>> LanguageModel::open(Os& os, const Clock& clock,
                                                           const WorkerContext& context,
                                                           LanguageOptions options) {
  const Result<std::unique_ptr<MappedFile>> file = os.map_file(options.file);
  if (!file) return fail(file.error());
  const Result<ModelCard> card = read_card((*file)->bytes());
  if (!card) return fail(card.error());
  if (card->format != ModelFormat::kGguf || card->architecture == "bert" ||
      card->architecture == "clip") {
    return fail(Code::kUnsupported, options.name + " generates no text",
                "give a language model, a GGUF file");
  }
  std::unique_ptr<LanguageModel> self(
      new LanguageModel(os, clock, context, std::move(options)));
  if (self->options_.backend.empty()) self->options_.devices.clear();
  self->layers_ = card->layers;
  const uint32_t wanted = self->options_.prompt_max + kAnswerTokensMax;
  self->tokens_ = std::min(wanted, std::max<uint32_t>(2, card->context_trained));
  // One token at least is left for the answer.
  self->options_.prompt_max = std::min(self->options_.prompt_max, self->tokens_ - 1);
  return self;
}

Result<http::Address> LanguageModel::address(const http::Cancel& gone) {
  const std::lock_guard lock(mutex_);
  if (worker_) {
    if (worker_->alive()) return worker_->address();
    worker_.reset();
    ++restarts_;
  }
  if (link_ > 0 && clock_.steady() >= rest_until_) {
    link_ = 0;
    refused_.clear();
  }
  for (;;) {
    Result<std::unique_ptr<Worker>> started = start(device(), gone);
    if (started) {
      worker_ = std::move(*started);
      return worker_->address();
    }
    if (gone || link_ == options_.devices.size()) return fail(started.error());
    leave_device(started.error().message);
  }
}

std::string LanguageModel::device() const {
  return link_ < options_.devices.size() ? options_.devices[link_] : std::string(kGgml);
}

void LanguageModel::leave_device(const std::string& cause) {
  refused_.push_back({device(), cause.substr(0, cause.find('\n'))});
  rest_until_ = clock_.steady() + kDeviceRest;
  ++link_;
}

// A device has taken a model when it has answered with a token: it compiles no sooner.
Result<std::unique_ptr<Worker>> LanguageModel::start(const std::string& device,
                                                     const http::Cancel& gone) {
  WorkerSpec spec;
  spec.model = options_.name;
  spec.file = options_.file;
  spec.placement.context = tokens_;
  const bool openvino = device != kGgml;
  if (openvino) {
    spec.placement.layers.resident = layers_;
    spec.devices = {"OPENVINO0"};
    spec.flash_attention = true;  // the backend translates no other attention whole
    spec.env = {{"GGML_BACKEND_PATH", options_.backend}, {"GGML_OPENVINO_DEVICE", device}};
    if (options_.fixed) spec.env.emplace_back("GGML_OPENVINO_FORCE_STATIC", "1");
  }
  Result<std::unique_ptr<Worker>> worker = start_worker(os_, context_, spec);
  if (!worker) return worker;
  if (Result<void> ready = (*worker)->ready(gone); !ready) return fail(ready.error());
  if (!openvino) return worker;
  const json trial = {{"prompt", "1"}, {"n_predict", 1}, {"cache_prompt", false}};
  const Result<json> token = ask((*worker)->address(), "/completion", trial, gone);
  if (!token) return fail(token.error());
  return worker;
}

Result<json> LanguageModel::ask(const http::Address& at, const std::string& target,
                                const json& body, const http::Cancel& gone) {
  http::Request request{"POST", target, {{"Content-Type", "application/json"}}, body.dump()};
  http::FetchOptions options;
  options.cancel = &gone;
  options.body_max = kAnswerBytesMax;
  const Result<http::Response> response = http::fetch(at, request, options);
  if (!response) return fail(response.error());
  json answer = json::parse(response->body, nullptr, false);
  if (response->status == 200 && answer.is_object()) return answer;
  const auto error = answer.is_object() ? answer.find("error") : answer.end();
  if (!answer.is_object() || error == answer.end()) return fail(unreadable(options_.name));
  return fail(response->status < 500 ? Code::kUsage : Code::kWorkerFailed,
              options_.name + ": " + text_at(*error, "message"));
}

// The prompt as tokens, counted with everything the template adds.
Result<json> LanguageModel::cut(const http::Address& at, const Question& question,
                                const http::Cancel& gone) {
  std::string prompt = question.prompt;
  if (!question.raw) {
    const json messages = {{"messages", {{{"role", "user"}, {"content", prompt}}}}};
    Result<json> dressed = ask(at, "/apply-template", messages, gone);
    if (!dressed) return dressed;
    prompt = text_at(*dressed, "prompt");
  }
  Result<json> cut = ask(at, "/tokenize",
                         {{"content", prompt}, {"add_special", true}, {"parse_special", true}},
                         gone);
  if (!cut) return cut;
  json tokens = cut->value("tokens", json::array());
  if (tokens.size() <= options_.prompt_max) return tokens;
  return fail(Code::kTooLarge,
              fmt::format("the prompt has {} tokens, {} takes at most {} here", tokens.size(),
                          options_.name, options_.prompt_max),
              "shorten it, summarise its parts first, or start the worker with --prompt-max");
}

Result<Answer> LanguageModel::generate(const http::Address& at, const json& body,
                                       const http::Cancel& gone,
                                       const std::function<bool(std::string_view)>& on_piece) {
  Answer out;
  if (!on_piece) {
    const Result<json> whole = ask(at, "/completion", body, gone);
    if (!whole) return fail(whole.error());
    out.text = text_at(*whole, "content");
    finish(*whole, &out);
    return out;
  }
  http::Request request{"POST", "/completion", {{"Content-Type", "application/json"}}, body.dump()};
  http::FetchOptions options;
  options.cancel = &gone;
  http::StreamLines lines;
  bool ended = false;
  options.on_head = [](const http::Response& head) { return head.status == 200; };
  options.on_piece = [&](std::string_view piece) {
    for (const std::string& data : lines.feed(piece)) {
      const json event = json::parse(data, nullptr, false);
      const std::string text = text_at(event, "content");
      out.text += text;
      if (!text.empty() && !on_piece(text)) return false;
      if (event.is_object() && event.value("stop", json()) == json(true)) {
        finish(event, &out);
        ended = true;
      }
    }
    return true;
  };
  const Result<http::Response> response = http::fetch(at, request, options);
  if (!response) return fail(response.error());
  if (!ended) return fail(unreadable(options_.name));
  return out;
}

// Its connections end before it is seen to have ended: who lost one makes sure.
void LanguageModel::drop(const http::Address& at) {
  const std::lock_guard lock(mutex_);
  if (!worker_ || worker_->address().unix_path != at.unix_path) return;  // replaced already
  worker_.reset();
  ++restarts_;
  if (link_ < options_.devices.size()) leave_device("its process ended while it computed");
}

Result<Answer> LanguageModel::attempt(const http::Address& at, const Question& question,
                                      const http::Cancel& gone,
                                      const std::function<bool(std::string_view)>& on_piece) {
  const Result<json> tokens = cut(at, question, gone);
  if (!tokens) return fail(tokens.error());
  const auto left = tokens_ - static_cast<uint32_t>(tokens->size());
  json body = question.sampling;
  body["prompt"] = *tokens;
  body["n_predict"] = std::min(question.answer_tokens, left);
  body["stream"] = static_cast<bool>(on_piece);
  body["cache_prompt"] = false;  // the same question has the same answer
  return generate(at, body, gone, on_piece);
}

Result<Answer> LanguageModel::answer(const Question& question, const http::Cancel& gone,
                                     const std::function<bool(std::string_view)>& on_piece) {
  if (inside_.fetch_add(1) >= kGenerationsMax) {
    --inside_;
    return fail(Code::kBusy, fmt::format("{} questions to {} wait already", kGenerationsMax,
                                         options_.name),
                "try again later");
  }
  bool said = false;
  const auto piece = [&](std::string_view text) {
    said = true;
    return on_piece(text);
  };
  const std::function<bool(std::string_view)> pieces =
      on_piece ? std::function<bool(std::string_view)>(piece) : nullptr;
  Result<Answer> out;
  // A process that was ended meanwhile is started again, once, unless half an answer is out.
  for (int tries = 0; tries < 2; ++tries) {
    const Result<http::Address> at = address(gone);
    out = at ? attempt(*at, question, gone, pieces) : fail(at.error());
    const bool lost = at && !out && !gone &&
                      (out.error().code == Code::kUnavailable || out.error().code == Code::kIo ||
                       out.error().code == Code::kCorrupt);
    if (!lost) break;
    drop(*at);
    if (said) break;
  }
  --inside_;
  if (out) ++answers_;
  return out;
}

LanguageStatus LanguageModel::status() const {
  LanguageStatus out{.name = options_.name, .prompt_max = options_.prompt_max, .context = tokens_};
  out.waiting = inside_;
  out.answers = answers_;
  out.restarts = restarts_;
  const std::unique_lock lock(mutex_, std::try_to_lock);
  if (!lock) return out;  // it is being loaded
  out.device = device();
  out.refused = refused_;
  out.loaded = worker_ != nullptr && worker_->alive().has_value();
  out.pid = out.loaded ? worker_->pid() : 0;
  return out;
}

}  // namespace gantry
