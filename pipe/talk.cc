// Transcribe, think, and speak meanwhile.
#include "pipe/talk.h"

#include <nlohmann/json.hpp>

#include "base/base64.h"
#include "pipe/ask.h"
#include "pipe/minutes.h"
#include "pipe/mouth.h"
#include "pipe/params.h"
#include "pipe/pcm.h"
#include "pipe/prompts.h"
#include "pipe/sentence_stream.h"
#include "pipe/speak.h"
#include "pipe/step.h"

namespace gantry {

namespace {

const std::vector<std::string_view> kKeys = {"speech", "language", "voice_model", "voice",
                                             "system", "tokens_max", "in_turn"};
constexpr const char* kSystem =
    "You are spoken to and your answer is read aloud. Answer in a few short plain sentences, "
    "without lists or markup.";

struct Order {
  std::string speech, language, voice_model, voice, system;
  uint32_t tokens_max = 256;
  bool in_turn = false;
};

Result<Order> read_order(const JobSpec& spec) {
  Result<nlohmann::json> params = parse_params(spec.params, kKeys);
  if (!params) return fail(params.error());
  Order order;
  const std::tuple<const char*, std::string*, const char*> texts[] = {
      {"speech", &order.speech, kSpeechModel}, {"language", &order.language, kLanguageModel},
      {"voice_model", &order.voice_model, ""}, {"voice", &order.voice, ""},
      {"system", &order.system, kSystem}};
  for (const auto& [key, target, otherwise] : texts) {
    Result<std::string> text = text_param(*params, key, otherwise);
    if (!text) return fail(text.error());
    *target = *text;
  }
  Result<double> tokens = number_param(*params, "tokens_max", 256, 1, 1 << 16);
  if (!tokens) return fail(tokens.error());
  order.tokens_max = static_cast<uint32_t>(*tokens);
  const auto in_turn = params->find("in_turn");
  if (in_turn != params->end() && !in_turn->is_boolean()) {
    return fail(Code::kUsage, "'in_turn' must be true or false");
  }
  order.in_turn = in_turn != params->end() && in_turn->get<bool>();
  return order;
}

// The micro models know one kind of question; any other gets what was said.
Question question_of(const Order& order, const std::vector<Segment>& heard) {
  Question question{.tokens_max = order.tokens_max};
  const PromptStyle style = prompt_style(order.language);
  std::string said;
  for (const Segment& segment : heard) said += segment.text + "\n";
  if (style == PromptStyle::kMicro) {
    question.prompt = part_prompt(style, said);
  } else {
    question.system = order.system;
    question.prompt = said;
  }
  return question;
}

class Talk {
 public:
  Talk(Os& os, JobContext& context, const Order& order)
      : os_(os), context_(context), order_(order), steps_(context, os, 4) {}

  Result<std::string> run() {
    Result<std::vector<std::string>> voices =
        voices_to_try(context_.foreman(), order_.voice_model);
    if (!voices) return fail(voices.error());
    Result<std::vector<Segment>> heard =
        steps_.transcribed(context_.job().spec.files[0], order_.speech);
    if (!heard) return fail(heard.error());
    if (heard->empty()) {
      return fail(Code::kUsage, "no words were heard in the recording",
                  "record the question closer to the microphone");
    }
    transcript_ = clock_.steady();
    Mouth mouth(context_.foreman(), *voices, order_.voice);
    if (Result<void> thought = think(question_of(order_, *heard), mouth); !thought) {
      return fail(thought.error());
    }
    Result<Spoken> spoken = mouth.finish(context_.cancelled());
    if (!spoken) return fail(spoken.error());
    if (!spoken->first_sound) {
      return fail(Code::kWorkerFailed, "the answer of " + order_.language + " says nothing",
                  "ask something else, or name another language model");
    }
    steps_.add(spoken->report);
    return page(*heard, *spoken);
  }

 private:
  // The answer, each sentence handed on as soon as it is whole, or all of them at the end.
  Result<void> think(const Question& question, Mouth& mouth) {
    SentenceStream stream;
    std::vector<std::string> later;
    const auto hand_on = [&](std::vector<std::string> sentences) {
      for (std::string& sentence : sentences) {
        if (order_.in_turn) later.push_back(std::move(sentence));
        else mouth.say(std::move(sentence));
      }
    };
    if (const std::optional<std::string> kept = context_.checkpoint("answer")) {
      answer_ = *kept;
      first_token_ = thought_ = clock_.steady();
      hand_on(stream.feed(answer_));
    } else {
      const auto tell = [&](std::string_view piece) {
        if (!first_token_) first_token_ = clock_.steady();
        hand_on(stream.feed(piece));
        context_.event({{"type", "text"}, {"delta", piece}});
      };
      const auto work = [&](Session& session) -> Result<void> {
        Result<std::string> text = ask(os_, session, question, context_.cancelled(), tell);
        if (!text) return fail(text.error());
        answer_ = std::move(*text);
        thought_ = clock_.steady();
        return {};
      };
      if (auto done = steps_.with_model("think", order_.language, work); !done) return done;
      if (auto saved = context_.save_checkpoint("answer", answer_); !saved) return saved;
    }
    hand_on(stream.finish());
    for (std::string& sentence : later) mouth.say(std::move(sentence));
    return {};
  }

  double since_start(Millis moment) const {
    return static_cast<double>((moment - start_).count()) / 1000.0;
  }

  std::string page(const std::vector<Segment>& heard, const Spoken& spoken) const {
    std::string question;
    for (const Segment& segment : heard) {
      question += (question.empty() ? "" : " ") + segment.text;
    }
    const nlohmann::json out = {
        {"question", question},
        {"answer", answer_},
        {"sentences", spoken.sentences},
        {"together", *spoken.opened < thought_},
        {"seconds",
         {{"transcript", since_start(transcript_)},
          {"first_token", since_start(first_token_.value_or(thought_))},
          {"first_sound", since_start(*spoken.first_sound)},
          {"total", since_start(clock_.steady())}}},
        {"steps", steps_json(steps_)},
        {"rate", spoken.rate},
        {"wav", base64(wav_head(spoken.rate, spoken.pcm.size()) + spoken.pcm)}};
    return out.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  }

  Os& os_;
  JobContext& context_;
  const Order& order_;
  const RealClock clock_;
  const Millis start_ = clock_.steady();
  Steps steps_;
  std::string answer_;
  Millis transcript_{0}, thought_{0};
  std::optional<Millis> first_token_;
};

class TalkExecutor final : public Executor {
 public:
  explicit TalkExecutor(Os& os) : os_(os) {}

  Result<void> check(const JobSpec& spec) const override {
    if (spec.files.size() != 1) {
      return fail(Code::kUsage, "talk takes exactly one recording", "give the question as a file");
    }
    Result<Order> order = read_order(spec);
    if (!order) return fail(order.error());
    return {};
  }

  Result<std::string> run(JobContext& context) override {
    Result<Order> order = read_order(context.job().spec);
    if (!order) return fail(order.error());
    return Talk(os_, context, *order).run();
  }

 private:
  Os& os_;
};

}  // namespace

std::unique_ptr<Executor> make_talk(Os& os) { return std::make_unique<TalkExecutor>(os); }

}  // namespace gantry
