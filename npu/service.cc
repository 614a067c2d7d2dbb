// Routes, and what each of them answers.
#include "npu/service.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <nlohmann/json.hpp>

#include "audit/facts.h"
#include "http/message.h"
#include "npu/ask.h"
#include "serve/reply.h"

namespace gantry {

namespace {

using nlohmann::json;

constexpr uint32_t kShortThreads = 4;  // for those that only look, however many wait

json refused_json(const std::vector<OvRefusal>& refused) {
  json out = json::array();
  for (const OvRefusal& one : refused) {
    out.push_back({{"device", one.device}, {"cause", one.cause}});
  }
  return out;
}

json embedder_json(const EmbedStatus& s) {
  return {{"name", s.name},
          {"kind", "embedding"},
          {"device", s.device},
          {"refused", refused_json(s.refused)},
          {"tokens_max", s.tokens_max},
          {"width", s.width},
          {"pooling", pooling_name(s.pooling)},
          {"normalize", s.normalize},
          {"static_shapes", s.fixed},
          {"queue", s.queued},
          {"texts", s.texts}};
}

json language_json(const LanguageStatus& s) {
  return {{"name", s.name},
          {"kind", "language"},
          {"device", "CPU"},
          {"engine", "llama.cpp"},
          {"prompt_tokens_max", s.prompt_max},
          {"loaded", s.loaded},
          {"pid", s.pid == 0 ? json(nullptr) : json(s.pid)},
          {"queue", s.waiting},
          {"answers", s.answers},
          {"restarts", s.restarts}};
}

// How many tokens were read, and which texts had more than the model reads.
void add_usage(const std::vector<Embedding>& embeddings, json* body) {
  uint64_t tokens = 0;
  json truncated = json::array();
  for (size_t i = 0; i < embeddings.size(); ++i) {
    tokens += embeddings[i].tokens;
    if (embeddings[i].truncated) truncated.push_back(i);
  }
  (*body)["usage"] = {{"prompt_tokens", tokens}, {"total_tokens", tokens}};
  (*body)["truncated"] = std::move(truncated);
}

json end_json(const LanguageModel& model, const Answer& answer) {
  return {{"model", model.status().name},
          {"device", "CPU"},
          {"finish_reason", answer.finish},
          {"usage",
           {{"prompt_tokens", answer.prompt_tokens},
            {"completion_tokens", answer.tokens},
            {"total_tokens", answer.prompt_tokens + answer.tokens}}}};
}

class Service final : public NpuService {
 public:
  Service(NpuServiceOptions options, NpuModels& models, Os& os, Log& log)
      : options_(std::move(options)),
        guard_(options_.guard),
        models_(models),
        os_(os),
        log_(log) {}
  ~Service() override { Service::stop(); }

  Result<void> start() {
    http::ServerOptions transport;
    transport.listen = {options_.listen};
    transport.threads = kNpuRequestsMax + kShortThreads;
    transport.admit = [this](const http::Request& head, const http::Address& via) {
      return guard_.check(head, via);
    };
    transport.refuse = [](int status, std::string_view cause) {
      const Code code = status == 503   ? Code::kBusy
                        : status == 413 ? Code::kTooLarge
                                        : Code::kUsage;
      return error_response({status, std::string(cause), std::string(code_name(code)), {}});
    };
    auto server = http::serve(std::move(transport),
                              [this](http::Exchange& exchange) { handle(exchange); });
    if (!server) return fail(server.error());
    server_ = std::move(*server);
    return {};
  }

  http::Address address() const override { return server_->addresses().front(); }
  void stop() override {
    if (server_) server_->stop();
  }

 private:
  struct Route {
    std::string_view method, path;
    void (Service::*handle)(http::Exchange&);
    bool works;  // passes the gate
  };
  static constexpr std::array<Route, 6> routes() {
    return {{{"GET", "/health", &Service::health, false},
             {"GET", "/metrics", &Service::metrics, false},
             {"GET", "/v1/models", &Service::list, false},
             {"POST", "/embeddings", &Service::embed, true},
             {"POST", "/v1/embeddings", &Service::embed, true},
             {"POST", "/inference", &Service::infer, true}}};
  }

  void reply(http::Exchange& exchange, http::Response response) const {
    for (auto& header : guard_.cors(exchange.request(), exchange.peer_of())) {
      response.headers.push_back(std::move(header));
    }
    exchange.reply(std::move(response));
  }
  void reply(http::Exchange& exchange, const Error& error) {
    if (error.code == Code::kBusy) ++refused_;
    reply(exchange, error_response(api_error(error)));
  }

  void handle(http::Exchange& exchange) {
    const http::Request& request = exchange.request();
    std::string allow;
    for (const Route& route : routes()) {
      if (route.path != request.path()) continue;
      if (route.method == request.method) return dispatch(route, exchange);
      allow = route.method;
    }
    const std::string path = http::printable(request.path());
    if (allow.empty()) return reply(exchange, Error{Code::kNotFound, "there is no " + path});
    http::Response response =
        error_response({405, path + " takes " + allow, "method_not_allowed", {}});
    response.headers.emplace_back("Allow", allow);
    reply(exchange, std::move(response));
  }

  void dispatch(const Route& route, http::Exchange& exchange) {
    ++requests_;
    if (!route.works) return guarded(route, exchange);
    if (inside_.fetch_add(1) < kNpuRequestsMax) {
      guarded(route, exchange);
    } else {
      reply(exchange, Error{Code::kBusy, fmt::format("{} requests wait already", kNpuRequestsMax),
                            "try again later"});
    }
    --inside_;
  }

  // A vendor's exception that nobody foresaw ends that request alone.
  void guarded(const Route& route, http::Exchange& exchange) {
    try {
      (this->*route.handle)(exchange);
    } catch (const std::exception& error) {
      log_.error("request_failed", {{"route", std::string(route.path)}, {"error", error.what()}});
      reply(exchange, Error{Code::kInternal, "the worker could not answer this request"});
    }
  }

  void health(http::Exchange& exchange) {
    json devices = json::array(), models = json::array();
    bool npu = false;
    for (const OvDevice& one : options_.devices) {
      npu = npu || one.name.starts_with("NPU");
      devices.push_back({{"name", one.name},
                         {"full_name", one.full_name},
                         {"driver", one.driver.empty() ? json(nullptr) : json(one.driver)}});
    }
    size_t waiting = 0;
    std::string answering;
    for (const auto& one : models_.embedders) {
      const EmbedStatus status = one->status();
      waiting += status.queued;
      if (answering.empty()) answering = status.device;
      models.push_back(embedder_json(status));
    }
    for (const auto& one : models_.languages) models.push_back(language_json(one->status()));
    const auto celsius = read_cpu_temperature(os_);
    json body = {{"status", "ok"},
                 {"version", options_.version},
                 {"openvino", options_.openvino},
                 {"devices", std::move(devices)},
                 {"answering", answering.empty() ? json(nullptr) : json(answering)},
                 {"models", std::move(models)},
                 {"queue",
                  {{"texts", waiting},
                   {"texts_max", kEmbedQueueMax},
                   {"requests", inside_.load()},
                   {"requests_max", kNpuRequestsMax}}},
                 // Intel's driver tells no temperature of an NPU; it sits in the processor.
                 {"cpu_temperature_c", celsius ? json(*celsius) : json(nullptr)}};
    if (!npu) {
      body["note"] = answering == "CPU" ? "no NPU: OpenVINO's CPU device answers" : "no NPU";
    }
    reply(exchange, json_response(200, body));
  }

  void list(http::Exchange& exchange) {
    json data = json::array();
    for (const std::string& name : names()) {
      data.push_back({{"id", name}, {"object", "model"}, {"created", 0}, {"owned_by", "gantry"}});
    }
    reply(exchange, json_response(200, {{"object", "list"}, {"data", std::move(data)}}));
  }

  void metrics(http::Exchange& exchange) {
    std::string out = fmt::format(
        "# TYPE gantry_npu_requests_total counter\ngantry_npu_requests_total {}\n"
        "# TYPE gantry_npu_refused_total counter\ngantry_npu_refused_total {}\n"
        "# TYPE gantry_npu_requests_inside gauge\ngantry_npu_requests_inside {}\n",
        requests_.load(), refused_.load(), inside_.load());
    std::string texts, tokens, slots, queue;
    for (const auto& one : models_.embedders) {
      const EmbedStatus s = one->status();
      const std::string labels = fmt::format("{{model=\"{}\",device=\"{}\"}}", s.name, s.device);
      texts += fmt::format("gantry_npu_texts_total{} {}\n", labels, s.texts);
      tokens += fmt::format("gantry_npu_tokens_total{} {}\n", labels, s.tokens);
      slots += fmt::format("gantry_npu_token_slots_total{} {}\n", labels, s.padded);
      queue += fmt::format("gantry_npu_queue_texts{} {}\n", labels, s.queued);
    }
    out += "# TYPE gantry_npu_texts_total counter\n" + texts;
    out += "# TYPE gantry_npu_tokens_total counter\n" + tokens;
    out += "# TYPE gantry_npu_token_slots_total counter\n" + slots;
    out += "# TYPE gantry_npu_queue_texts gauge\n" + queue;
    reply(exchange, text_response(200, "text/plain; version=0.0.4", std::move(out)));
  }

  std::vector<std::string> names() const {
    std::vector<std::string> out;
    for (const auto& one : models_.embedders) out.push_back(one->status().name);
    for (const auto& one : models_.languages) out.push_back(one->status().name);
    return out;
  }

  // The model of that name, or the first one where none is asked for.
  template <class Model>
  static Model* find(const std::vector<std::unique_ptr<Model>>& models, const std::string& name) {
    for (const auto& one : models) {
      if (name.empty() || one->status().name == name) return one.get();
    }
    return nullptr;
  }

  void unknown(http::Exchange& exchange, const std::string& name, const std::string& kind) const {
    const std::vector<std::string> all = names();
    const std::string listed = fmt::format("{}", fmt::join(all, ", "));
    const std::string shown = http::printable(name);
    ApiError error{404, fmt::format("there is no model {}; installed: {}", shown, listed),
                   "model_not_found", "model"};
    if (name.empty()) {
      error.message = "no " + kind + " model is installed; installed: " + listed;
    } else if (std::ranges::find(all, name) != all.end()) {
      error = {400, shown + " is no " + kind + " model; installed: " + listed, "unsupported",
               "model"};
    }
    reply(exchange, error_response(error));
  }

  void embed(http::Exchange& exchange) {
    const bool openai = exchange.request().path() == "/v1/embeddings";
    const Result<json> body = parse_json_object(exchange.request().body);
    if (!body) return reply(exchange, body.error());
    const Result<EmbedAsk> ask = read_embed_ask(*body, openai ? "input" : "texts");
    if (!ask) return reply(exchange, ask.error());
    EmbedModel* model = find(models_.embedders, ask->model);
    if (model == nullptr) return unknown(exchange, ask->model, "embedding");
    const Result<std::vector<Embedding>> made = model->embed(ask->texts, exchange.gone());
    if (!made) return reply(exchange, made.error());
    const EmbedStatus status = model->status();
    json out = {{"model", status.name}, {"device", status.device}};
    json vectors = json::array();
    for (size_t i = 0; i < made->size(); ++i) {
      const std::vector<float>& values = (*made)[i].values;
      json vector = ask->base64 ? json(base64_floats(values)) : json(values);
      if (openai) {
        vector = {{"object", "embedding"}, {"index", i}, {"embedding", std::move(vector)}};
      }
      vectors.push_back(std::move(vector));
    }
    out[openai ? "data" : "embeddings"] = std::move(vectors);
    if (openai) out["object"] = "list";
    add_usage(*made, &out);
    reply(exchange, json_response(200, out));
  }

  void infer(http::Exchange& exchange) {
    const Result<json> body = parse_json_object(exchange.request().body);
    if (!body) return reply(exchange, body.error());
    const Result<InferAsk> ask = read_infer_ask(*body);
    if (!ask) return reply(exchange, ask.error());
    LanguageModel* model = find(models_.languages, ask->model);
    if (model == nullptr) return unknown(exchange, ask->model, "language");
    if (ask->stream) return stream(exchange, *model, ask->question);
    const Result<Answer> answer = model->answer(ask->question, exchange.gone(), nullptr);
    if (!answer) return reply(exchange, answer.error());
    json out = end_json(*model, *answer);
    out["text"] = answer->text;
    reply(exchange, json_response(200, out));
  }

  // Events {"text": piece}, at the end {"done": true, ...}; an error is an event once one is out.
  void stream(http::Exchange& exchange, LanguageModel& model, const Question& question) {
    bool begun = false;
    const auto say = [&](const json& event) {
      if (!begun) {
        http::Response head;
        head.headers = guard_.cors(exchange.request(), exchange.peer_of());
        head.headers.emplace_back("Content-Type", "text/event-stream");
        head.headers.emplace_back("Cache-Control", "no-store");
        if (!exchange.begin(std::move(head))) return false;
        begun = true;
      }
      return exchange.write("data: " + dump(event) + "\n\n").has_value();
    };
    const Result<Answer> answer =
        model.answer(question, exchange.gone(),
                     [&](std::string_view text) { return say({{"text", text}}); });
    if (!answer && !begun) return reply(exchange, answer.error());
    json last = answer ? end_json(model, *answer) : error_json(api_error(answer.error()));
    last["done"] = true;
    say(last);
  }

  const NpuServiceOptions options_;
  const Guard guard_;
  NpuModels& models_;
  Os& os_;
  Log& log_;
  std::atomic<uint32_t> inside_{0};
  std::atomic<uint64_t> requests_{0}, refused_{0};
  std::unique_ptr<http::Server> server_;
};

}  // namespace

Result<std::unique_ptr<NpuService>> serve_npu(const NpuServiceOptions& options, NpuModels& models,
                                              Os& os, Log& log) {
  if (!options.listen.loopback() && options.guard.api_key.empty()) {
    return fail(Code::kUsage,
                "refusing to listen on " + options.listen.text() + " without an API key",
                "give --key-file or GANTRY_API_KEY, or listen on 127.0.0.1");
  }
  auto service = std::make_unique<Service>(options, models, os, log);
  if (Result<void> started = service->start(); !started) return fail(started.error());
  return service;
}

}  // namespace gantry
