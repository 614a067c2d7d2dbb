// A language model behind the NPU worker: a llama-server of ours, started when first asked, started
// again when it died, with the prompt limit that a static device has. It computes on the first of
// OpenVINO's devices that takes it, by llama.cpp's OpenVINO backend, and else by ggml on the CPU.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "npu/core.h"
#include "npu/limits.h"
#include "worker/worker.h"

namespace gantry {

struct LanguageOptions {
  std::string name, file;
  uint32_t prompt_max = kPromptTokensMax;
  std::vector<std::string> devices = {};  // OpenVINO's, in the order in which they are tried
  std::string backend = {};               // libggml-openvino.so; without it there are no devices
  bool fixed = false;  // static shapes on every device, as an NPU has them: for tests
};

// Who computes after all of OpenVINO's devices.
constexpr std::string_view kGgml = "ggml";

struct Question {
  std::string prompt;
  bool raw = false;  // as it stands, without the model's chat template
  uint32_t answer_tokens = kAnswerTokens;
  nlohmann::json sampling = nlohmann::json::object();  // temperature, top_p, ..., checked
};

struct Answer {
  std::string text;
  std::string finish;  // "stop", "length"
  uint64_t prompt_tokens = 0, tokens = 0;
};

struct LanguageStatus {
  std::string name;
  std::string device;  // that computes, or would: OpenVINO's, or kGgml
  std::vector<OvRefusal> refused;
  uint32_t prompt_max = 0, context = 0;
  bool loaded = false;
  int pid = 0;  // of its process, 0: none
  uint32_t waiting = 0;
  uint64_t answers = 0, restarts = 0;
};

// Any thread.
class LanguageModel {
 public:
  // Reads the file's facts; kUnsupported for what generates no text. `os`, `clock` and `context`
  // outlive it.
  [[nodiscard]] static Result<std::unique_ptr<LanguageModel>> open(Os& os, const Clock& clock,
                                                                   const WorkerContext& context,
                                                                   LanguageOptions options);
  // With `on_piece`, the text comes in pieces too; false from it ends the generation. kTooLarge
  // names the limit; kBusy: too many wait already.
  [[nodiscard]] Result<Answer> answer(const Question& question, const http::Cancel& gone,
                                      const std::function<bool(std::string_view)>& on_piece);
  LanguageStatus status() const;

 private:
  LanguageModel(Os& os, const Clock& clock, const WorkerContext& context, LanguageOptions options)
      : os_(os), clock_(clock), context_(context), options_(std::move(options)) {}

  [[nodiscard]] Result<http::Address> address(const http::Cancel& gone);
  [[nodiscard]] Result<std::unique_ptr<Worker>> start(const std::string& device,
                                                      const http::Cancel& gone);
  void leave_device(const std::string& cause);
  std::string device() const;
  [[nodiscard]] Result<nlohmann::json> ask(const http::Address& at, const std::string& target,
                                           const nlohmann::json& body, const http::Cancel& gone);
  [[nodiscard]] Result<nlohmann::json> cut(const http::Address& at, const Question& question,
                                           const http::Cancel& gone);
  [[nodiscard]] Result<Answer> generate(const http::Address& at, const nlohmann::json& body,
                                        const http::Cancel& gone,
                                        const std::function<bool(std::string_view)>& on_piece);
  [[nodiscard]] Result<Answer> attempt(const http::Address& at, const Question& question,
                                       const http::Cancel& gone,
                                       const std::function<bool(std::string_view)>& on_piece);
  void drop(const http::Address& at);

  Os& os_;
  const Clock& clock_;
  const WorkerContext& context_;
  LanguageOptions options_;
  uint32_t tokens_ = 0;  // of the context
  uint32_t layers_ = 0;
  std::atomic<uint32_t> inside_{0};
  std::atomic<uint64_t> answers_{0}, restarts_{0};
  mutable std::mutex mutex_;
  std::unique_ptr<Worker> worker_;
  size_t link_ = 0;  // of the devices, one past them: ggml
  std::vector<OvRefusal> refused_;
  Millis rest_until_{0};  // for the devices that were left
};

}  // namespace gantry
