// A checkpoint for every sentence, as a small wav of its own; the result is all of them in a row.
#include "pipe/speak.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <nlohmann/json.hpp>
#include <span>

#include "base/limits.h"
#include "pipe/params.h"
#include "pipe/pcm.h"
#include "pipe/script.h"
#include "pipe/step.h"

namespace gantry {

namespace {

const std::vector<std::string_view> kKeys = {"text",  "model",  "voice",
                                             "speed", "script", "voices"};
constexpr uint32_t kTurnPauseMs = 300;  // between two speakers
// For the speakers of a script who were given no voice, in the order of their first words.
constexpr std::array<const char*, kScriptVoicesMax> kEspeakVoices = {"en-us", "en-gb+f3",
                                                                     "en-us+m3", "en-gb+f2"};
constexpr std::array<const char*, kScriptVoicesMax> kModelVoices = {"0", "1", "2", "3"};

struct Order {
  std::string text, model, voice;
  double speed = 1;
  bool script = false;
  std::map<std::string, std::string> voices;  // of a script's speakers
};

// One sentence of one speaker.
struct Part {
  std::string text;
  std::string model;  // empty: whichever voice speaks
  std::string voice;
  bool pause = false;  // before it
};

Result<std::map<std::string, std::string>> read_voices(std::string_view text) {
  std::map<std::string, std::string> out;
  while (!text.empty()) {
    const size_t end = std::min(text.find(','), text.size());
    const std::string_view word = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const size_t cut = word.find('=');
    if (cut == 0 || cut == std::string_view::npos || cut + 1 == word.size()) {
      return fail(Code::kUsage, "'" + std::string(word) + "' gives no speaker a voice",
                  "write NAME=VOICE or NAME=MODEL:VOICE");
    }
    out[std::string(word.substr(0, cut))] = std::string(word.substr(cut + 1));
  }
  return out;
}

Result<Order> read_order(const JobSpec& spec) {
  Result<nlohmann::json> params = parse_params(spec.params, kKeys);
  if (!params) return fail(params.error());
  Order order;
  std::string voices;
  for (const auto& [key, target] : {std::pair{"text", &order.text}, {"model", &order.model},
                                    {"voice", &order.voice}, {"voices", &voices}}) {
    Result<std::string> text = text_param(*params, key, "");
    if (!text) return fail(text.error());
    *target = *text;
  }
  Result<double> speed = number_param(*params, "speed", 1, kSpeedMin, kSpeedMax);
  if (!speed) return fail(speed.error());
  order.speed = *speed;
  const auto script = params->find("script");
  if (script != params->end() && !script->is_boolean()) {
    return fail(Code::kUsage, "'script' must be true or false");
  }
  order.script = script != params->end() && script->get<bool>();
  Result<std::map<std::string, std::string>> read = read_voices(voices);
  if (!read) return fail(read.error());
  order.voices = std::move(*read);
  return order;
}

Result<std::vector<Part>> text_parts(const Order& order) {
  Result<std::vector<std::string>> all = sentences(order.text);
  if (!all) return fail(all.error());
  std::vector<Part> out;
  for (std::string& text : *all) out.push_back({std::move(text), order.model, order.voice});
  return out;
}

Result<std::vector<Part>> script_parts(const Order& order) {
  if (order.text.size() > kSpeakTextMax) return text_parts(order);  // its error
  Result<std::vector<ScriptLine>> lines = parse_script(order.text);
  if (!lines) return fail(lines.error());
  std::map<std::string, std::string> voices = order.voices;
  const bool espeak = order.model.empty() || order.model == kLastVoice;
  std::vector<std::string> seen;
  std::vector<Part> out;
  for (const ScriptLine& line : *lines) {
    if (std::ranges::find(seen, line.speaker) == seen.end()) {
      const char* own = (espeak ? kEspeakVoices : kModelVoices)[seen.size()];
      voices.emplace(line.speaker, own);
      seen.push_back(line.speaker);
    }
    Part part{"", order.model.empty() ? std::string(kLastVoice) : order.model,
              voices[line.speaker]};
    if (const size_t cut = part.voice.find(':'); cut != std::string::npos) {
      part.model = part.voice.substr(0, cut);
      part.voice.erase(0, cut + 1);
    }
    Result<std::vector<std::string>> all = sentences(line.text);
    if (!all) return fail(all.error());
    for (size_t i = 0; i < all->size(); ++i) {
      part.text = (*all)[i];
      part.pause = i == 0 && !out.empty();
      out.push_back(part);
    }
  }
  return out;
}

uint32_t rate_of(std::string_view wav) {
  uint32_t rate = 0;
  for (size_t i = 0; i < 4; ++i) {
    rate |= static_cast<uint32_t>(static_cast<unsigned char>(wav[24 + i])) << (8 * i);
  }
  return rate;
}

class Speaking {
 public:
  Speaking(Os& os, JobContext& context, const Order& order, std::vector<Part> parts)
      : context_(context),
        order_(order),
        parts_(std::move(parts)),
        steps_(context, os, runs()),
        said_(parts_.size()) {}

  Result<std::string> run() {
    for (size_t at = 0; at < parts_.size();) {
      size_t end = at + 1;
      while (end < parts_.size() && parts_[end].model == parts_[at].model) ++end;
      if (Result<void> done = say_run(at, end); !done) return fail(done.error());
      at = end;
    }
    return whole();
  }

 private:
  uint32_t runs() const {
    uint32_t count = 1;
    for (size_t i = 1; i < parts_.size(); ++i) {
      if (parts_[i].model != parts_[i - 1].model) ++count;
    }
    return count;
  }

  static std::string step_of(size_t part) { return fmt::format("say-{:05}", part); }

  // Parts [at, end) are one model's; those that an earlier run said are not said again.
  Result<void> say_run(size_t at, size_t end) {
    std::vector<size_t> missing;
    for (size_t i = at; i < end; ++i) {
      const std::optional<std::string> kept = context_.checkpoint(step_of(i));
      if (kept && kept->size() > kWavHeadBytes) said_[i] = *kept;
      else missing.push_back(i);
    }
    if (missing.empty()) return {};
    // What an earlier run chose speaks on: one text, one voice.
    const std::string chosen = context_.checkpoint("voice").value_or(parts_[at].model);
    const std::string wanted = parts_[at].model.empty() ? chosen : parts_[at].model;
    Result<std::vector<std::string>> models = voices_to_try(context_.foreman(), wanted);
    if (!models) return fail(models.error());
    for (size_t i = 0;; ++i) {
      bool begun = false;
      const std::string& model = (*models)[i];
      Result<void> done = steps_.with_model(
          fmt::format("say {} sentences", missing.size()), model,
          [&](Session& session) { return say_all(session, missing, &begun); });
      if (done || begun || i + 1 == models->size() || !another_may_speak(done.error())) {
        return done;
      }
      context_.event({{"type", "fallback"}, {"from", model}, {"to", (*models)[i + 1]},
                      {"cause", done.error().message}});
    }
  }

  Result<void> say_all(Session& session, const std::vector<size_t>& missing, bool* begun) {
    for (size_t n = 0; n < missing.size(); ++n) {
      const Part& part = parts_[missing[n]];
      Result<std::string> pcm =
          say(session, {part.text, part.voice, order_.speed}, context_.cancelled());
      if (!pcm) return fail(pcm.error());
      if (!*begun && part.model.empty()) {
        if (auto saved = context_.save_checkpoint("voice", session.model()); !saved) return saved;
      }
      *begun = true;
      std::string& wav = said_[missing[n]];
      wav = wav_head(session.worker().sound_rate(), pcm->size()) + *pcm;
      if (auto saved = context_.save_checkpoint(step_of(missing[n]), wav); !saved) return saved;
      context_.event({{"type", "sentence"}, {"number", missing[n] + 1}, {"of", parts_.size()}});
      steps_.fraction_of_step(static_cast<double>(n + 1) / static_cast<double>(missing.size()));
    }
    return {};
  }

  Result<std::string> whole() const {
    const uint32_t rate = rate_of(said_.front());
    std::string pcm;
    for (size_t i = 0; i < said_.size(); ++i) {
      if (rate_of(said_[i]) != rate) {
        return fail(Code::kUsage, "the voices of the script make sound of different rates",
                    "take voices of one model, or of models of one rate");
      }
      if (parts_[i].pause) pcm += silence(rate, kTurnPauseMs);
      pcm.append(said_[i], kWavHeadBytes);
      if (pcm.size() + kWavHeadBytes > kJobResultMax.n) {
        return fail(Code::kTooLarge, "the sound is larger than a result may be",
                    "cut the text into parts");
      }
    }
    return wav_head(rate, pcm.size()) + pcm;
  }

  JobContext& context_;
  const Order& order_;
  const std::vector<Part> parts_;
  Steps steps_;
  std::vector<std::string> said_;  // wavs, by part
};

class Speak final : public Executor {
 public:
  explicit Speak(Os& os) : os_(os) {}

  Result<void> check(const JobSpec& spec) const override {
    Result<Order> order = read_order(spec);
    if (!order) return fail(order.error());
    if (spec.files.size() > 1 || spec.files.empty() == order->text.empty()) {
      return fail(Code::kUsage, "speak takes one text, or one file with it",
                  "give params.text or a file");
    }
    if (!spec.files.empty()) return {};  // read when it runs
    return check_parts(*order);
  }

  Result<std::string> run(JobContext& context) override {
    Result<Order> order = read_order(context.job().spec);
    if (!order) return fail(order.error());
    const std::vector<std::string>& files = context.job().spec.files;
    if (!files.empty()) {
      Result<std::string> text = os_.read_file(files[0], Bytes{kSpeakTextMax + 1});
      if (!text) return fail(text.error());
      order->text = std::move(*text);
    }
    Result<std::vector<Part>> parts = order->script ? script_parts(*order) : text_parts(*order);
    if (!parts) return fail(parts.error());
    return Speaking(os_, context, *order, std::move(*parts)).run();
  }

 private:
  static Result<void> check_parts(const Order& order) {
    Result<std::vector<Part>> parts = order.script ? script_parts(order) : text_parts(order);
    if (!parts) return fail(parts.error());
    return {};
  }

  Os& os_;
};

}  // namespace

Result<std::vector<std::string>> voices_to_try(ForemanClient& foreman, const std::string& wanted) {
  if (!wanted.empty()) return std::vector{wanted};
  std::vector<std::string> out;
  bool last = false;
  for (const ModelStatus& model : foreman.models()) {
    if (model.kind != "voice") continue;
    if (model.name == kLastVoice) last = true;
    else out.push_back(model.name);
  }
  if (last) out.emplace_back(kLastVoice);
  if (!out.empty()) return out;
  return fail(Code::kNotFound, "there is no voice",
              "apt-get install espeak-ng, or declare a model of kind voice");
}

bool another_may_speak(const Error& error) {
  return error.code == Code::kWorkerFailed || error.code == Code::kUnavailable ||
         error.code == Code::kDoesNotFit || error.code == Code::kCorrupt ||
         error.code == Code::kNotFound || error.code == Code::kTimeout;
}

Result<std::string> say(Session& session, const Utterance& utterance,
                        const http::Cancel& cancel) {
  std::string pcm;
  const Result<void> spoken =
      session.worker().speak(utterance, cancel, [&pcm](std::string_view piece) {
        pcm += piece;
        return true;
      });
  if (!spoken) return fail(spoken.error());
  if (pcm.empty() || session.worker().sound_rate() == 0) {
    return fail(Code::kWorkerFailed, session.model() + " made no sound");
  }
  return pcm;
}

std::unique_ptr<Executor> make_speak(Os& os) { return std::make_unique<Speak>(os); }

}  // namespace gantry
