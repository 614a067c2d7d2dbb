// Routes, and what each of them answers.
#include "npu/service.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <nlohmann/json.hpp>

#include "audit/facts.h"
#include "base/ids.h"
#include "http/message.h"
#include "npu/ask.h"
#include "pipe/pcm.h"
#include "serve/audio_format.h"
#include "serve/audio_upload.h"
#include "serve/reply.h"
#include "worker/picture.h"

namespace gantry {

namespace {

using nlohmann::json;

constexpr uint32_t kShortThreads = 4;  // for those that only look, however many wait

// Which device an encoder is: ggml's own is on the CPU here.
std::string device_of(const std::string& encoder) {
  return encoder.empty() || encoder == "ggml" ? "CPU" : encoder;
}

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
          {"device", s.device == kGgml ? "CPU" : s.device},
          {"engine", s.device == kGgml ? "llama.cpp" : "llama.cpp on OpenVINO"},
          {"refused", refused_json(s.refused)},
          {"prompt_tokens_max", s.prompt_max},
          {"loaded", s.loaded},
          {"pid", s.pid == 0 ? json(nullptr) : json(s.pid)},
          {"queue", s.waiting},
          {"answers", s.answers},
          {"restarts", s.restarts}};
}

json ear_json(const EarStatus& s) {
  json changes = json::array();
  for (const EncoderChange& one : s.changes) {
    changes.push_back({{"from", one.from}, {"to", one.to}, {"cause", one.cause}});
  }
  return {{"name", s.name},
          {"kind", "speech"},
          {"device", device_of(s.encoder)},
          {"engine", "whisper.cpp"},
          {"encoder", s.encoder.empty() ? json(nullptr) : json(s.encoder)},
          {"encoder_changes", std::move(changes)},
          {"loaded", s.loaded},
          {"pid", s.pid == 0 ? json(nullptr) : json(s.pid)},
          {"queue", s.waiting},
          {"recordings", s.recordings},
          {"restarts", s.restarts}};
}

json eye_json(const ImageStatus& s) {
  return {{"name", s.name},
          {"kind", s.classifies ? "image-classification" : "image-embedding"},
          {"device", s.device},
          {"refused", refused_json(s.refused)},
          {"height", s.size.height},
          {"width", s.size.width},
          {s.classifies ? "classes" : "vector", s.width},
          {"static_shapes", s.fixed},
          {"queue", s.queued},
          {"pictures", s.pictures}};
}

json segments_json(const std::vector<Segment>& segments) {
  json out = json::array();
  for (const Segment& segment : segments) {
    out.push_back({{"start", static_cast<double>(segment.start.count()) / 1000},
                   {"end", static_cast<double>(segment.end.count()) / 1000},
                   {"text", segment.text}});
  }
  return out;
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
    if (!options_.socket.empty()) transport.listen.push_back({options_.socket});
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
  static constexpr std::array<Route, 10> routes() {
    return {{{"GET", "/health", &Service::health, false},
             {"GET", "/metrics", &Service::metrics, false},
             {"GET", "/v1/models", &Service::list, false},
             {"POST", "/embeddings", &Service::embed, true},
             {"POST", "/v1/embeddings", &Service::embed, true},
             {"POST", "/inference", &Service::infer, true},
             {"POST", "/v1/audio/transcriptions", &Service::hear, true},
             {"POST", "/transcribe", &Service::hear, true},
             {"POST", "/images/embeddings", &Service::see, true},
             {"POST", "/images/classify", &Service::see, true}}};
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
    for (const auto& one : models_.eyes) {
      const ImageStatus status = one->status();
      if (answering.empty()) answering = status.device;
      models.push_back(eye_json(status));
    }
    for (const auto& one : models_.languages) models.push_back(language_json(one->status()));
    for (const auto& one : models_.ears) models.push_back(ear_json(one->status()));
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
    out += ear_metrics() + eye_metrics();
    out += "# TYPE gantry_npu_texts_total counter\n" + texts;
    out += "# TYPE gantry_npu_tokens_total counter\n" + tokens;
    out += "# TYPE gantry_npu_token_slots_total counter\n" + slots;
    out += "# TYPE gantry_npu_queue_texts gauge\n" + queue;
    reply(exchange, text_response(200, "text/plain; version=0.0.4", std::move(out)));
  }

  std::string ear_metrics() const {
    std::string recordings, seconds, queue;
    for (const auto& one : models_.ears) {
      const EarStatus s = one->status();
      const std::string labels =
          fmt::format("{{model=\"{}\",device=\"{}\"}}", s.name, device_of(s.encoder));
      recordings += fmt::format("gantry_npu_recordings_total{} {}\n", labels, s.recordings);
      seconds += fmt::format("gantry_npu_heard_seconds_total{} {:.3f}\n", labels,
                             static_cast<double>(s.heard.count()) / 1000);
      queue += fmt::format("gantry_npu_queue_recordings{} {}\n", labels, s.waiting);
    }
    return "# TYPE gantry_npu_recordings_total counter\n" + recordings +
           "# TYPE gantry_npu_heard_seconds_total counter\n" + seconds +
           "# TYPE gantry_npu_queue_recordings gauge\n" + queue;
  }

  std::string eye_metrics() const {
    std::string pictures, queue;
    for (const auto& one : models_.eyes) {
      const ImageStatus s = one->status();
      const std::string labels = fmt::format("{{model=\"{}\",device=\"{}\"}}", s.name, s.device);
      pictures += fmt::format("gantry_npu_pictures_total{} {}\n", labels, s.pictures);
      queue += fmt::format("gantry_npu_queue_pictures{} {}\n", labels, s.queued);
    }
    return "# TYPE gantry_npu_pictures_total counter\n" + pictures +
           "# TYPE gantry_npu_queue_pictures gauge\n" + queue;
  }

  std::vector<std::string> names() const {
    std::vector<std::string> out;
    for (const auto& one : models_.embedders) out.push_back(one->status().name);
    for (const auto& one : models_.languages) out.push_back(one->status().name);
    for (const auto& one : models_.ears) out.push_back(one->status().name);
    for (const auto& one : models_.eyes) out.push_back(one->status().name);
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

  // OpenAI's form, or for /transcribe the recording as it stands.
  void hear(http::Exchange& exchange) {
    const http::Request& request = exchange.request();
    const bool form = request.header("Content-Type").starts_with("multipart/");
    const bool plain = request.path() == "/transcribe";
    AudioUpload upload;
    const auto wrong = plain && !form ? read_audio_body(request, &upload)
                                      : read_audio_upload(request, false, &upload);
    if (wrong) return reply(exchange, error_response(*wrong));
    EarModel* model = find(models_.ears, upload.model);
    if (model == nullptr) return unknown(exchange, upload.model, "speech");
    const Spool spool(os_, options_.spool_dir, clock_);
    if (const auto error = spool.decode(options_.decode, upload.file, exchange.gone())) {
      return reply(exchange, error_response(*error));
    }
    Heard heard = heard_as(upload);
    if (const auto info = os_.stat(spool.wav())) heard.duration = wav_duration(info->size);
    Result<std::vector<Segment>> segments =
        model->hear(spool.wav(), heard.duration, exchange.gone());
    if (!segments) return reply(exchange, segments.error());
    const EarStatus status = model->status();
    heard.segments = std::move(*segments);
    heard.device =
        device_of(heard.segments.empty() ? status.encoder : heard.segments.back().encoder);
    Result<http::Response> response = render_heard(heard, upload.format);
    if (!response) return reply(exchange, response.error());
    if (plain && upload.format == "json") {
      json out = json::parse(response->body);
      out["model"] = status.name;
      out["duration"] = static_cast<double>(heard.duration.count()) / 1000;
      out["segments"] = segments_json(heard.segments);
      response = json_response(200, out);
    }
    reply(exchange, std::move(*response));
  }

  // A picture's bytes to what the graph takes: decoded by another process, through files.
  Result<std::vector<float>> pixels(const ImageModel& model, const std::string& image,
                                    const http::Cancel& gone) {
    Rng rng = Rng::from_system();
    const std::string path = join_path(options_.spool_dir, make_id(clock_, rng));
    const std::string file = path + ".picture", ppm = path + ".ppm";
    Result<void> done = os_.write_file(file, image, 0600);
    if (done) done = options_.picture(file, ppm, gone);
    Result<std::unique_ptr<MappedFile>> mapped = nullptr;
    if (done) mapped = os_.map_file(ppm);
    for (const std::string& left : {file, ppm}) (void)os_.remove(left);
    if (!done) return fail(done.error());
    if (!mapped) return fail(mapped.error());
    const Result<PixelView> view = parse_ppm((*mapped)->bytes());
    if (!view) return fail(view.error());
    return model.prepare(*view);
  }

  void see(http::Exchange& exchange) {
    const bool classify = exchange.request().path() == "/images/classify";
    const Result<ImageAsk> ask = read_image_ask(exchange.request());
    if (!ask) return reply(exchange, ask.error());
    const auto fits = [&](const ImageModel& model) {
      return model.status().classifies == classify;
    };
    ImageModel* model = nullptr;
    for (const auto& one : models_.eyes) {
      const bool named = ask->model.empty() || one->status().name == ask->model;
      if (model == nullptr && named && fits(*one)) model = one.get();
    }
    if (model == nullptr) {
      return unknown(exchange, ask->model, classify ? "image classification" : "image embedding");
    }
    std::vector<std::vector<float>> inputs;
    for (size_t i = 0; i < ask->images.size(); ++i) {
      Result<std::vector<float>> input = pixels(*model, ask->images[i], exchange.gone());
      if (!input) {
        Error error = input.error();
        error.message = fmt::format("images[{}]: {}", i, error.message);
        ApiError told = api_error(error);
        if (error.code == Code::kCorrupt || error.code == Code::kUnsupported) told.status = 400;
        return reply(exchange, error_response(told));
      }
      inputs.push_back(std::move(*input));
    }
    const auto vectors = model->run(std::move(inputs), exchange.gone());
    if (!vectors) return reply(exchange, vectors.error());
    const ImageStatus status = model->status();
    json list = json::array();
    for (const std::vector<float>& vector : *vectors) {
      if (!classify) {
        list.push_back(vector);
        continue;
      }
      json classes = json::array();
      for (const ImageClass& one : model->classes(vector, ask->top)) {
        classes.push_back({{"label", one.label}, {"index", one.index}, {"score", one.score}});
      }
      list.push_back(std::move(classes));
    }
    reply(exchange, json_response(200, {{classify ? "classes" : "embeddings", std::move(list)},
                                        {"model", status.name},
                                        {"device", status.device}}));
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
  const RealClock clock_;
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
