// Gantry's client in C++17 and later: RAII over gantry_client.h and nothing else, so that a program
// and the shared library may be built by different compilers.
//
//   gantry::client::Client client;                 // the NPU worker and the daemon that are here
//   gantry::client::Answer answer = client.infer("chat", "Hello.");
//   if (answer.ok()) use(answer.text(), answer.by());
#pragma once

#include <gantry_client.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace gantry::client {

// What a request may say beside its subject. `on_bytes` gets text or sound as it comes; false ends
// the request. It must not throw: the program would end.
struct Request {
  std::string model;
  bool stays_here = false;  // private: nothing of it leaves this machine
  std::function<bool(std::string_view)> on_bytes = nullptr;
  std::string system = {}, voice = {};
  unsigned tokens_max = 0;
  double temperature = -1;
};

// Its texts live as long as it does.
class Answer {
 public:
  explicit Answer(gantry_answer* answer) : answer_(answer) {}
  bool ok() const { return gantry_answer_ok(answer_.get()) != 0; }
  std::string_view code() const { return gantry_answer_code(answer_.get()); }
  std::string_view error() const { return gantry_answer_error(answer_.get()); }
  std::string_view by() const { return gantry_answer_by(answer_.get()); }
  std::string_view model() const { return gantry_answer_model(answer_.get()); }
  std::string_view device() const { return gantry_answer_device(answer_.get()); }
  std::string_view why() const { return gantry_answer_why(answer_.get()); }
  std::string_view text() const { return gantry_answer_text(answer_.get()); }
  std::string_view sound() const {
    size_t bytes = 0;
    const char* sound = gantry_answer_sound(answer_.get(), &bytes);
    return {sound, bytes};
  }
  size_t vectors() const { return gantry_answer_vectors(answer_.get()); }
  std::vector<float> vector(size_t index) const {
    size_t width = 0;
    const float* values = gantry_answer_vector(answer_.get(), index, &width);
    return {values, values + width};
  }

 private:
  struct Free {
    void operator()(gantry_answer* answer) const { gantry_answer_free(answer); }
  };
  std::unique_ptr<gantry_answer, Free> answer_;
};

// May be used by several threads at once.
class Client {
 public:
  explicit Client(const std::string& options = {})
      : client_(gantry_client_open(options.empty() ? nullptr : options.c_str())) {}
  std::string_view error() const { return gantry_client_error(client_.get()); }

  Answer embed(const Request& request, const std::vector<std::string>& texts) const {
    std::vector<const char*> all;
    for (const std::string& text : texts) all.push_back(text.c_str());
    const gantry_request plain = plain_of(request);
    return Answer(gantry_embed(client_.get(), &plain, all.data(), all.size()));
  }
  Answer embed(const std::string& model, const std::vector<std::string>& texts) const {
    return embed(Request{model}, texts);
  }
  Answer infer(const Request& request, const std::string& prompt) const {
    const gantry_request plain = plain_of(request);
    return Answer(gantry_infer(client_.get(), &plain, prompt.c_str()));
  }
  Answer infer(const std::string& model, const std::string& prompt) const {
    return infer(Request{model}, prompt);
  }
  Answer transcribe(const Request& request, std::string_view recording) const {
    const gantry_request plain = plain_of(request);
    return Answer(
        gantry_transcribe(client_.get(), &plain, recording.data(), recording.size()));
  }
  Answer speak(const Request& request, const std::string& text) const {
    const gantry_request plain = plain_of(request);
    return Answer(gantry_speak(client_.get(), &plain, text.c_str()));
  }

 private:
  static int take(void* user, const char* bytes, size_t count) noexcept {
    return static_cast<const Request*>(user)->on_bytes({bytes, count}) ? 0 : 1;
  }
  static gantry_request plain_of(const Request& request) {
    gantry_request plain = GANTRY_REQUEST;
    plain.model = request.model.c_str();
    plain.stays_here = request.stays_here ? 1 : 0;
    if (request.on_bytes) plain.on_bytes = &take;
    plain.user = const_cast<Request*>(&request);
    if (!request.system.empty()) plain.system = request.system.c_str();
    if (!request.voice.empty()) plain.voice = request.voice.c_str();
    plain.tokens_max = request.tokens_max;
    plain.temperature = request.temperature;
    return plain;
  }
  struct Close {
    void operator()(gantry_client* client) const { gantry_client_close(client); }
  };
  std::unique_ptr<gantry_client, Close> client_;
};

}  // namespace gantry::client
