// For tests: a model that is a function of real HTTP.
#pragma once

#include <unistd.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

#include "worker/worker.h"

namespace gantry {

class FakeModelWorker final : public Worker {
 public:
  using Answer = std::function<http::Response(const nlohmann::json& body)>;
  Answer answer;                   // for chats; 200 bodies are whole event streams
  bool tokenizes = true;           // a token is a word; else it has no tokenizer
  std::vector<Segment> heard;      // for transcribe
  std::vector<Millis> asked_from;  // by each transcribe()
  std::optional<std::vector<SpeechSpan>> told_speech;  // to the last one
  size_t hears_most = 1'000'000;   // by one transcribe(), which then fails
  std::vector<EncoderChange> changes;  // while it transcribed
  std::vector<SpeakerTurn> turns;  // for diarize
  std::vector<Utterance> said;     // by speak(), which makes two bytes of a character
  uint32_t rate = 8'000;
  size_t speaks_most = 1'000'000;  // then it is dead
  std::optional<Error> dead;

  FakeModelWorker() {
    std::filesystem::create_directories(dir_);
    http::ServerOptions options;
    options.listen = {address_};
    auto server = http::serve(options, [this](http::Exchange& exchange) {
      const auto body = nlohmann::json::parse(exchange.request().body, nullptr, false);
      const std::string_view path = exchange.request().path();
      const bool chat = path != "/tokenize" && path != "/apply-template";
      exchange.reply(chat ? answer(body) : tokenizes ? token_answer(body) : http::Response{404});
    });
    if (server) server_ = std::move(*server);
  }
  ~FakeModelWorker() override {
    server_.reset();
    std::filesystem::remove_all(dir_);
  }
  int pid() const override { return 1; }
  [[nodiscard]] Result<void> ready(const http::Cancel&) override { return {}; }
  void stop() override {}
  const http::Address& address() const override { return address_; }
  [[nodiscard]] Result<std::vector<Segment>> transcribe(
      const Hearing& hearing, const http::Cancel&,
      const std::function<void(const Segment&, Progress)>& on_segment) override {
    if (dead) return fail(*dead);
    asked_from.push_back(hearing.from);
    told_speech = hearing.speech;
    std::vector<Segment> rest;
    for (const Segment& segment : heard) {  // each is a piece of its own
      if (segment.end <= hearing.from) continue;
      if (rest.size() >= hears_most) return fail(Code::kWorkerFailed, "went deaf");
      on_segment(segment, {0.5, segment.start});
      rest.push_back(segment);
    }
    return rest;
  }
  std::vector<EncoderChange> encoder_changes() const override { return changes; }
  [[nodiscard]] Result<std::vector<SpeakerTurn>> diarize(
      const std::string&, const SpeakerWish&, const http::Cancel&,
      const std::function<void(Progress)>& on_progress) override {
    if (dead) return fail(*dead);
    on_progress({0.5});
    return turns;
  }
  [[nodiscard]] Result<void> speak(const Utterance& utterance, const http::Cancel&,
                                   const std::function<bool(std::string_view)>& on_pcm) override {
    if (said.size() >= speaks_most) return fail(Code::kWorkerFailed, "fell silent");
    said.push_back(utterance);
    const std::string pcm(2 * utterance.text.size(), 's');
    return on_pcm(pcm) ? Result<void>() : fail(Code::kCancelled, "cancelled");
  }
  uint32_t sound_rate() const override { return rate; }
  [[nodiscard]] Result<void> alive() override {
    if (dead) return fail(*dead);
    return {};
  }

 private:
  static http::Response token_answer(const nlohmann::json& body) {
    nlohmann::json answer = nlohmann::json::object();
    if (body.contains("messages")) {
      for (const auto& message : body["messages"]) {
        answer["prompt"] = answer.value("prompt", "") + message.value("content", "") + "\n";
      }
    } else {
      std::istringstream words(body.value("content", ""));
      answer["tokens"] = nlohmann::json::array();
      for (std::string word; words >> word;) answer["tokens"].push_back(1);
    }
    return {200, {}, answer.dump()};
  }

  std::string dir_ = std::filesystem::temp_directory_path() /
                     ("gantry_pipe_" + std::to_string(::getpid()));
  http::Address address_{dir_ + "/s", {}, 0};
  std::unique_ptr<http::Server> server_;
};

// A whole answer as llama-server streams it, in several deltas.
inline http::Response chat_events(const std::string& text) {
  std::string body;
  for (size_t at = 0; at < text.size(); at += 3) {
    const nlohmann::json delta = {{"content", text.substr(at, 3)}};
    body += "data: " + nlohmann::json{{"choices", {{{"delta", delta}}}}}.dump() + "\n\n";
  }
  return {200, {{"Content-Type", "text/event-stream"}}, body + "data: [DONE]\n\n"};
}

}  // namespace gantry
