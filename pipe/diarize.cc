// The step and the job.
#include "pipe/diarize.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "model/voice_keys.h"
#include "pipe/params.h"
#include "pipe/speakers.h"

namespace gantry {

namespace {

Result<SpeakerWish> read_wish(const nlohmann::json& params) {
  SpeakerWish wish;
  Result<double> speakers = number_param(params, "speakers", 0, 0, kSpeakersMax);
  if (!speakers) return fail(speakers.error());
  wish.speakers = static_cast<uint32_t>(*speakers);
  if (!params.contains("threshold")) return wish;
  Result<double> threshold = number_param(params, "threshold", 0.5, 0, kSpeakerThresholdMax);
  if (!threshold) return fail(threshold.error());
  wish.threshold = *threshold;
  return wish;
}

Result<SpeakerParams> read(const JobSpec& spec) {
  Result<nlohmann::json> params = parse_params(spec.params, {"model", "speakers", "threshold"});
  if (!params) return fail(params.error());
  Result<std::string> model = text_param(*params, "model", "");
  if (!model) return fail(model.error());
  Result<SpeakerWish> wish = read_wish(*params);
  if (!wish) return fail(wish.error());
  return SpeakerParams{*model, *wish};
}

class Diarize final : public Executor {
 public:
  explicit Diarize(Os& os) : os_(os) {}

  Result<void> check(const JobSpec& spec) const override {
    if (spec.files.size() != 1) {
      return fail(Code::kUsage, "diarize takes exactly one recording",
                  "submit one job for each file");
    }
    Result<SpeakerParams> params = read(spec);
    if (!params) return fail(params.error());
    return {};
  }

  Result<std::string> run(JobContext& context) override {
    Result<SpeakerParams> params = read(context.job().spec);
    if (!params) return fail(params.error());
    Steps steps(context, os_, 2);
    Result<std::vector<SpeakerTurn>> turns =
        diarized(steps, context, context.job().spec.files[0], *params);
    if (!turns) return fail(turns.error());
    const nlohmann::json page = {{"turns", turns_json(*turns)}, {"steps", steps_json(steps)}};
    return page.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  }

 private:
  Os& os_;
};

}  // namespace

Result<std::optional<SpeakerParams>> speaker_params(const nlohmann::json& params) {
  const bool wanted = std::ranges::any_of(
      kSpeakerKeys, [&](std::string_view key) { return params.contains(key); });
  if (!wanted) return std::nullopt;
  Result<std::string> model = text_param(params, "diarization", "");
  if (!model) return fail(model.error());
  Result<SpeakerWish> wish = read_wish(params);
  if (!wish) return fail(wish.error());
  return SpeakerParams{*model, *wish};
}

Result<std::string> diarization_model(ForemanClient& foreman, const std::string& wanted) {
  if (!wanted.empty()) return wanted;
  std::string ours;
  for (const ModelStatus& model : foreman.models()) {
    if (model.kind != "diarization") continue;
    if (model.name != kSpeakersModel) return model.name;
    ours = model.name;
  }
  if (!ours.empty()) return ours;
  return fail(Code::kNotFound, "there is no model of kind diarization",
              "declare one under `models:` in the configuration, see docs/voices.md");
}

Result<std::vector<SpeakerTurn>> diarized(Steps& steps, JobContext& context,
                                          const std::string& file, const SpeakerParams& params) {
  if (std::optional<std::string> kept = context.checkpoint("turns")) {
    Result<std::vector<SpeakerTurn>> turns =
        parse_turns(nlohmann::json::parse(*kept, nullptr, false));
    if (turns) return turns;
  }
  Result<std::string> wav = steps.decoded(file);
  if (!wav) return fail(wav.error());
  Result<std::string> model = diarization_model(context.foreman(), params.model);
  if (!model) return fail(model.error());
  std::vector<SpeakerTurn> turns;
  const auto work = [&](Session& session) -> Result<void> {
    auto told = session.worker().diarize(*wav, params.wish, context.cancelled(),
                                         [&](Progress p) { steps.fraction_of_step(p.fraction); });
    if (!told) return fail(told.error());
    turns = std::move(*told);
    return {};
  };
  Result<void> done = steps.with_model("speakers of " + base_name(file), *model, work);
  if (!done) return fail(done.error());
  if (auto saved = context.save_checkpoint("turns", turns_json(turns).dump()); !saved) {
    return fail(saved.error());
  }
  return turns;
}

std::unique_ptr<Executor> make_diarize(Os& os) { return std::make_unique<Diarize>(os); }

}  // namespace gantry
