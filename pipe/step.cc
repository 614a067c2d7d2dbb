// Steps of pipelines.
#include "pipe/step.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "pipe/transcript.h"

namespace gantry {

namespace {

double seconds_between(Millis from, Millis to) {
  return static_cast<double>((to - from).count()) / 1000.0;
}

}  // namespace

nlohmann::json step_json(const StepReport& r) {
  return {{"name", r.name},
          {"model", r.model},
          {"device", r.device},
          {"predicted_bytes", r.predicted.n},
          {"measured_bytes", r.measured.n},
          {"load_s", r.load_s},
          {"run_s", r.run_s}};
}

nlohmann::json steps_json(const Steps& steps) {
  nlohmann::json array = nlohmann::json::array();
  for (const StepReport& report : steps.reports()) array.push_back(step_json(report));
  return array;
}

Steps::Steps(JobContext& context, Os& os, uint32_t steps_total)
    : context_(context), os_(os), total_(std::max(1U, steps_total)) {}

void Steps::begin(const std::string& name, const std::string& model) {
  current_ = name;
  context_.progress(finished_ / total_, current_);
  context_.event({{"type", "step_started"}, {"name", name}, {"model", model}});
}

void Steps::end(const StepReport& report) {
  finished_ = std::min(total_, finished_ + 1);
  context_.progress(finished_ / total_, current_);
  nlohmann::json event = step_json(report);
  event["type"] = "step_done";
  context_.event(event);
  reports_.push_back(report);
}

void Steps::fraction_of_step(double done) {
  context_.progress((finished_ + std::clamp(done, 0.0, 1.0)) / total_, current_);
}

Result<void> Steps::with_model(const std::string& name, const std::string& model,
                               const std::function<Result<void>(Session&)>& work) {
  begin(name, model);
  const RealClock clock;
  Result<std::unique_ptr<Session>> session =
      context_.foreman().open(model, context_.cancelled(), true);
  if (!session) return fail(session.error());
  const Millis started = clock.steady();
  Result<void> worked = work(**session);
  if (!worked) return worked;
  StepReport report{name, model, (*session)->device(), (*session)->predicted(),
                    (*session)->measured(), (*session)->load_s(),
                    seconds_between(started, clock.steady())};
  session->reset();
  end(report);
  return {};
}

Result<std::string> Steps::decoded(const std::string& file) {
  const std::string wav = join_path(context_.dir(), "audio.wav");
  const std::string name = "decode " + base_name(file);
  if (const auto kept = context_.checkpoint("decode")) {
    const Result<FileInfo> there = os_.stat(wav);
    if (there && std::to_string(there->size.n) == *kept) return wav;
  }
  begin(name, "decoder");
  Result<StepReport> report = context_.foreman().decode(file, wav, context_.cancelled());
  if (!report) return fail(report.error());
  report->name = name;
  const Result<FileInfo> made = os_.stat(wav);
  if (!made) return fail(made.error());
  const std::string size = std::to_string(made->size.n);
  if (Result<void> saved = context_.save_checkpoint("decode", size); !saved) {
    return fail(saved.error());
  }
  end(*report);
  return wav;
}

Result<std::vector<Segment>> Steps::transcribed(const std::string& file,
                                                const std::string& model) {
  if (std::optional<std::string> kept = context_.checkpoint("transcript")) {
    Result<std::vector<Segment>> segments =
        parse_segments(nlohmann::json::parse(*kept, nullptr, false));
    if (segments) return segments;  // an unreadable checkpoint is worth nothing: do it again
  }
  Result<std::string> wav = decoded(file);
  if (!wav) return fail(wav.error());
  std::vector<Segment> segments;
  const auto tell = [this](const Segment& segment, Progress progress) {
    nlohmann::json event = segment_json(segment);
    event["type"] = "segment";
    context_.event(event);
    fraction_of_step(progress.fraction);
  };
  Result<void> done =
      with_model("transcribe " + base_name(file), model, [&](Session& session) -> Result<void> {
        auto heard = session.worker().transcribe(*wav, context_.cancelled(), tell);
        if (!heard) return fail(heard.error());
        segments = std::move(*heard);
        return {};
      });
  if (!done) return fail(done.error());
  const std::string kept = segments_json(segments).dump(
      -1, ' ', false, nlohmann::json::error_handler_t::replace);
  if (Result<void> saved = context_.save_checkpoint("transcript", kept); !saved) {
    return fail(saved.error());
  }
  return segments;
}

}  // namespace gantry
