// transcribe and generate, and the table of kinds.
#include "pipe/executors.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "pipe/ask.h"
#include "pipe/diarize.h"
#include "pipe/minutes.h"
#include "pipe/params.h"
#include "pipe/speak.h"
#include "pipe/speakers.h"
#include "pipe/step.h"
#include "pipe/summarize.h"
#include "pipe/talk.h"
#include "pipe/transcript.h"

namespace gantry {

namespace {

std::string dump(const nlohmann::json& json) {
  return json.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

const std::vector<std::string_view> kTranscribeKeys = {"model", "speakers", "threshold",
                                                       "diarization"};

class Transcribe final : public Executor {
 public:
  explicit Transcribe(Os& os) : os_(os) {}

  Result<void> check(const JobSpec& spec) const override {
    if (spec.files.size() != 1) {
      return fail(Code::kUsage, "transcribe takes exactly one recording",
                  "submit one job for each file");
    }
    Result<nlohmann::json> params = parse_params(spec.params, kTranscribeKeys);
    if (!params) return fail(params.error());
    Result<std::string> model = text_param(*params, "model", "");
    if (!model) return fail(model.error());
    Result<std::optional<SpeakerParams>> speakers = speaker_params(*params);
    if (!speakers) return fail(speakers.error());
    return {};
  }

  Result<std::string> run(JobContext& context) override {
    const JobSpec& spec = context.job().spec;
    Result<nlohmann::json> params = parse_params(spec.params, kTranscribeKeys);
    if (!params) return fail(params.error());
    Result<std::string> model = text_param(*params, "model", kSpeechModel);
    if (!model) return fail(model.error());
    Result<std::optional<SpeakerParams>> speakers = speaker_params(*params);
    if (!speakers) return fail(speakers.error());
    Steps steps(context, os_, *speakers ? 3 : 2);
    Result<std::vector<Segment>> heard = steps.transcribed(spec.files[0], *model);
    if (!heard) return fail(heard.error());
    if (*speakers) {
      auto turns = diarized(steps, context, spec.files[0], **speakers);
      if (!turns) return fail(turns.error());
      give_speakers(*turns, &*heard);
      return dump({{"segments", segments_json(*heard)},
                   {"turns", turns_json(*turns)},
                   {"steps", steps_json(steps)}});
    }
    return dump({{"segments", segments_json(*heard)}, {"steps", steps_json(steps)}});
  }

 private:
  Os& os_;
};

class Generate final : public Executor {
 public:
  explicit Generate(Os& os) : os_(os) {}

  Result<void> check(const JobSpec& spec) const override {
    Result<Question> question = read(spec);
    if (!question) return fail(question.error());
    Result<std::string> model = model_of(spec);
    if (!model) return fail(model.error());
    return {};
  }

  Result<std::string> run(JobContext& context) override {
    Result<Question> question = read(context.job().spec);
    if (!question) return fail(question.error());
    Result<std::string> model = model_of(context.job().spec);
    if (!model) return fail(model.error());
    Steps steps(context, os_, 1);
    std::string text;
    const auto tell = [&context](std::string_view piece) {
      context.event({{"type", "text"}, {"delta", piece}});
    };
    Result<void> done =
        steps.with_model("generate", *model, [&](Session& session) -> Result<void> {
          Result<std::string> answer = ask(os_, session, *question, context.cancelled(), tell);
          if (!answer) return fail(answer.error());
          text = *answer;
          return {};
        });
    if (!done) return fail(done.error());
    return dump({{"text", text}, {"steps", steps_json(steps)}});
  }

 private:
  static Result<std::string> model_of(const JobSpec& spec) {
    Result<nlohmann::json> params = parse_params(spec.params, kKeys);
    if (!params) return fail(params.error());
    return text_param(*params, "model", spec.files.empty() ? kLanguageModel : kVisionModel);
  }

  static Result<Question> read(const JobSpec& spec) {
    Result<nlohmann::json> params = parse_params(spec.params, kKeys);
    if (!params) return fail(params.error());
    Result<std::string> prompt = text_param(*params, "prompt", "");
    if (!prompt) return fail(prompt.error());
    if (prompt->empty()) return fail(Code::kUsage, "generate needs a prompt", "give -p TEXT");
    Result<std::string> system = text_param(*params, "system", "");
    if (!system) return fail(system.error());
    Result<double> tokens = number_param(*params, "tokens_max", 1024, 1, 1 << 20);
    if (!tokens) return fail(tokens.error());
    Result<double> temperature = number_param(*params, "temperature", 0, 0, 10);
    if (!temperature) return fail(temperature.error());
    Result<double> seed = number_param(*params, "seed", 0, 0, 4294967295.0);
    if (!seed) return fail(seed.error());
    return Question{*system,      *prompt,
                    spec.files,   static_cast<uint32_t>(*tokens),
                    *temperature, static_cast<uint64_t>(*seed)};
  }

  static inline const std::vector<std::string_view> kKeys = {
      "model", "prompt", "system", "tokens_max", "temperature", "seed"};
  Os& os_;
};

}  // namespace

Executors make_executors(Os& os) {
  Executors executors;
  executors["transcribe"] = std::make_unique<Transcribe>(os);
  executors["minutes"] = make_minutes(os);
  executors["diarize"] = make_diarize(os);
  executors["speak"] = make_speak(os);
  executors["generate"] = std::make_unique<Generate>(os);
  executors["summarize"] = make_summarize(os);
  executors["talk"] = make_talk(os);
  return executors;
}

}  // namespace gantry
