// Steps of pipelines.
#include "pipe/step.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>

#include "pipe/detect.h"
#include "pipe/pcm.h"
#include "pipe/transcript.h"

namespace gantry {

namespace {

double seconds_between(Millis from, Millis to) {
  return static_cast<double>((to - from).count()) / 1000.0;
}

// How fast sound is heard, for people; nothing before there is something to say.
std::string pace_note(double sound_s, double spent_s) {
  constexpr double kTelling = 0.5;
  if (sound_s <= 0 || spent_s < kTelling) return "";
  return fmt::format(", {:.3g} x real time", sound_s / spent_s);
}

}  // namespace

nlohmann::json step_json(const StepReport& r) {
  nlohmann::json step = {{"name", r.name},
                         {"model", r.model},
                         {"device", r.device},
                         {"predicted_bytes", r.predicted.n},
                         {"measured_bytes", r.measured.n},
                         {"load_s", r.load_s},
                         {"run_s", r.run_s}};
  if (!r.why.empty()) step["why"] = r.why;
  for (const EncoderChange& change : r.encoder_changes) {
    step["encoder_changes"].push_back({{"from", change.from},
                                       {"to", change.to},
                                       {"cause", change.cause},
                                       {"at", static_cast<double>(change.at.count()) / 1000}});
  }
  return step;
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

void Steps::add(const StepReport& report) {
  begin(report.name, report.model);
  end(report);
}

void Steps::fraction_of_step(double done, const std::string& note) {
  context_.progress((finished_ + std::clamp(done, 0.0, 1.0)) / total_, current_ + note);
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
  const std::string why = (*session)->why();
  StepReport report{name, why.empty() ? model : (*session)->model(), (*session)->device(),
                    (*session)->predicted(), (*session)->measured(), (*session)->load_s(),
                    seconds_between(started, clock.steady()),
                    (*session)->worker().encoder_changes(), why};
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

Result<std::vector<Segment>> Steps::hear(Session& session, const Hearing& rest, Heard* heard) {
  const double from = seconds_between(Millis(0), rest.from);
  if (from > 0) context_.event({{"type", "resumed"}, {"at", from}});
  const Result<FileInfo> sound = os_.stat(rest.wav);
  if (!sound) return fail(sound.error());
  const double length = seconds_between(Millis(0), wav_duration(sound->size));
  const RealClock clock;
  const Millis started = clock.steady();
  const auto tell = [&](const Segment& segment, Progress progress) {
    heard->add(segment, progress.heard);
    nlohmann::json event = segment_json(segment);
    event.erase("words");  // the result has them
    event["type"] = "segment";
    context_.event(event);
    fraction_of_step(progress.fraction, pace_note(progress.fraction * length - from,
                                                  seconds_between(started, clock.steady())));
  };
  auto segments = session.worker().transcribe(rest, context_.cancelled(), tell);
  // Silence is quickly heard and says nothing of how fast words are.
  const bool words = segments && !segments->empty();
  if (words) session.heard(length - from, seconds_between(started, clock.steady()));
  return segments;
}

Result<std::vector<SpeechSpan>> Steps::detected(const std::string& file, const std::string& wav,
                                             const std::string& detector) {
  if (const auto kept = context_.checkpoint("speech")) {
    auto speech = parse_stretches(nlohmann::json::parse(*kept, nullptr, false));
    if (speech) return std::move(*speech);
  }
  std::vector<SpeechSpan> speech;
  const auto work = [&](Session& session) -> Result<void> {
    auto found = find_speech(session, wav, context_.cancelled(),
                             [this](Progress p) { fraction_of_step(p.fraction); });
    if (!found) return fail(found.error());
    speech = std::move(*found);
    return {};
  };
  if (Result<void> done = with_model("find speech in " + base_name(file), detector, work); !done) {
    return fail(done.error());
  }
  if (auto saved = context_.save_checkpoint("speech", stretches_json(speech).dump()); !saved) {
    return fail(saved.error());
  }
  return speech;
}

Result<std::vector<Segment>> Steps::transcribed(const std::string& file,
                                                const std::string& model) {
  if (std::optional<std::string> kept = context_.checkpoint("transcript")) {
    Result<std::vector<Segment>> segments =
        parse_segments(nlohmann::json::parse(*kept, nullptr, false));
    if (segments) return segments;  // an unreadable checkpoint is worth nothing: do it again
  }
  const std::string detector = context_.foreman().detector_of(model);
  if (!detector.empty()) ++total_;
  Result<std::string> wav = decoded(file);
  if (!wav) return fail(wav.error());
  Heard heard(context_);
  std::vector<Segment> segments = heard.segments();
  Hearing rest{*wav, heard.until()};
  if (!detector.empty()) {
    Result<std::vector<SpeechSpan>> speech = detected(file, *wav, detector);
    if (!speech) return fail(speech.error());
    rest.speech = std::move(*speech);
  }
  const auto work = [&](Session& session) -> Result<void> {
    Result<std::vector<Segment>> tail = hear(session, rest, &heard);
    if (!tail) return fail(tail.error());
    std::ranges::move(*tail, std::back_inserter(segments));
    return {};
  };
  if (auto done = with_model("transcribe " + base_name(file), model, work); !done) {
    return fail(done.error());
  }
  const std::string kept = segments_json(segments).dump(
      -1, ' ', false, nlohmann::json::error_handler_t::replace);
  if (Result<void> saved = context_.save_checkpoint("transcript", kept); !saved) {
    return fail(saved.error());
  }
  return segments;
}

}  // namespace gantry
