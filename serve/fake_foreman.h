// For tests: a foreman whose models are tables and whose worker is a scripted HTTP server.
#pragma once

#include <atomic>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include "foreman/client.h"
#include "http/test_peer.h"

namespace gantry {

// Stands in for llama-server on a unix socket.
class FakeLlama {
 public:
  enum class Mode { kAnswer, kStream, kStall, kStallInStream, kDieInStream, kError, kGarbage };
  FakeLlama()
      : server_([this](int fd) { serve(fd); }, *http::parse_address("unix:" + dir_.file("llama"))) {
  }
  void set(Mode mode, std::string text = "") {
    const std::lock_guard lock(mutex_);
    mode_ = mode;
    text_ = std::move(text);
  }
  const http::Address& address() const { return server_.address(); }
  std::string heard() const {  // the last request, head and body
    const std::lock_guard lock(mutex_);
    return heard_;
  }
  std::atomic<int> requests{0};
  std::atomic<int> abandoned{0};  // the other side hung up while this one stalled

 private:
  using Raw = http::RawServer;
  static void say(int fd, std::string_view text) { Raw::say(fd, text); }
  static void begin_stream(int fd) {
    say(fd, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
            "Transfer-Encoding: chunked\r\n\r\n");
  }
  static void chunk(int fd, std::string_view text) {
    char size[20];
    std::snprintf(size, sizeof(size), "%zx\r\n", text.size());
    say(fd, size + std::string(text) + "\r\n");
  }
  void stall(int fd) {
    char byte = 0;
    const http::Patience patience{http::kTestPatience, &server_.stopping(), nullptr};
    if (http::receive_some(fd, &byte, 1, patience).value_or(1) == 0) ++abandoned;
  }
  void serve(int fd) {
    std::string request = Raw::hear(fd);
    if (request.empty()) return;
    const size_t head = request.find("\r\n\r\n") + 4;
    const size_t length = std::stoul(request.substr(request.find("Content-Length: ") + 16));
    char buffer[4096];
    const http::Patience patience{http::kTestPatience, nullptr, nullptr};
    while (request.size() < head + length) {
      const size_t got = http::receive_some(fd, buffer, sizeof(buffer), patience).value_or(0);
      if (got == 0) return;
      request.append(buffer, got);
    }
    std::unique_lock lock(mutex_);
    heard_ = request;
    const Mode mode = mode_;
    const std::string text = text_;
    lock.unlock();
    ++requests;
    answer(fd, mode, text);
  }
  void answer(int fd, Mode mode, const std::string& text) {
    const std::string length = std::to_string(text.size());
    switch (mode) {
      case Mode::kAnswer:
        return say(fd, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " +
                           length + "\r\n\r\n" + text);
      case Mode::kError:  // text: "404 {body}"
        return say(fd, "HTTP/1.1 " + text.substr(0, 3) + " X\r\nContent-Length: " +
                           std::to_string(text.size() - 4) + "\r\n\r\n" + text.substr(4));
      case Mode::kGarbage:
        return say(fd, "garbage\r\n\r\n");
      case Mode::kStall:
        return stall(fd);
      case Mode::kStream:
      case Mode::kStallInStream:
      case Mode::kDieInStream:
        begin_stream(fd);
        chunk(fd, "data: {\"n\":1}\n\n");
        if (mode == Mode::kStallInStream) return stall(fd);
        if (mode == Mode::kDieInStream) return chunk(fd, "data: {\"half");
        chunk(fd, "data: {\"n\"");
        chunk(fd, ":2}\n\ndata: [DONE]\n\n");
        return say(fd, "0\r\n\r\n");
    }
  }

  http::TestDir dir_;
  mutable std::mutex mutex_;
  Mode mode_ = Mode::kAnswer;
  std::string text_ = "{}";
  std::string heard_;
  http::RawServer server_;
};

class FakeWorker final : public Worker {
 public:
  explicit FakeWorker(const http::Address& address) : address_(address) {}
  int pid() const override { return 1; }
  [[nodiscard]] Result<void> ready(const http::Cancel&) override { return {}; }
  const http::Address& address() const override { return address_; }
  [[nodiscard]] Result<std::vector<Segment>> transcribe(
      const Hearing&, const http::Cancel&,
      const std::function<void(const Segment&, Progress)>& on_segment) override {
    if (transcript.has_value()) {
      for (const Segment& segment : *transcript) on_segment(segment, {1.0});
    }
    return transcript;
  }
  [[nodiscard]] Result<std::vector<SpeakerTurn>> diarize(
      const std::string&, const SpeakerWish& wish, const http::Cancel&,
      const std::function<void(Progress)>&) override {
    asked = wish;
    return turns;
  }
  // Two bytes a character.
  [[nodiscard]] Result<void> speak(const Utterance& utterance, const http::Cancel&,
                                   const std::function<bool(std::string_view)>& on_pcm) override {
    if (refuses) return fail(*refuses);
    said.push_back(utterance.voice + ": " + utterance.text);
    if (on_pcm(std::string(2 * utterance.text.size(), 's'))) return {};
    return fail(Code::kCancelled, "cancelled");
  }
  uint32_t sound_rate() const override { return 8'000; }
  [[nodiscard]] Result<void> alive() override { return life; }
  void stop() override {}

  std::vector<SpeakerTurn> turns;
  SpeakerWish asked;
  std::vector<std::string> said;
  std::optional<Error> refuses;

  Result<std::vector<Segment>> transcript;
  Result<void> life;

 private:
  http::Address address_;
};

}  // namespace gantry
