// The minutes pipeline.
#include "pipe/minutes.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "pipe/ask.h"
#include "pipe/diarize.h"
#include "pipe/map_reduce.h"
#include "pipe/params.h"
#include "pipe/speakers.h"
#include "pipe/step.h"
#include "pipe/transcript.h"

namespace gantry {

namespace {

const std::vector<std::string_view> kKeys = {"speech",   "vision",    "language",   "part_lines",
                                             "speakers", "threshold", "diarization"};

struct Choice {
  std::string speech, vision, language;
  uint32_t part_lines = 0;  // 0: the style's own
  std::optional<SpeakerParams> speakers = {};
};

Result<Choice> read_choice(const std::string& text) {
  Result<nlohmann::json> params = parse_params(text, kKeys);
  if (!params) return fail(params.error());
  Result<std::string> speech = text_param(*params, "speech", kSpeechModel);
  if (!speech) return fail(speech.error());
  Result<std::string> vision = text_param(*params, "vision", kVisionModel);
  if (!vision) return fail(vision.error());
  Result<std::string> language = text_param(*params, "language", kLanguageModel);
  if (!language) return fail(language.error());
  Result<double> lines = number_param(*params, "part_lines", 0, 0, 10'000);
  if (!lines) return fail(lines.error());
  Result<std::optional<SpeakerParams>> speakers = speaker_params(*params);
  if (!speakers) return fail(speakers.error());
  return Choice{*speech, *vision, *language, static_cast<uint32_t>(*lines), *speakers};
}

std::vector<TextUnit> units_of(const std::vector<std::string>& lines) {
  std::vector<TextUnit> units;
  for (const std::string& line : lines) units.push_back({line, {}});
  return units;
}

// A left fold measured better than levels with the micro models, because only the left list ever
// holds joined entries.
MapReduceSpec minutes_spec(const Choice& choice, PromptStyle style) {
  const PartSizes sizes = part_sizes(style);
  MapReduceSpec spec;
  spec.what = "minutes";
  spec.map_model = spec.reduce_model = choice.language;
  spec.part_prompt = [style](std::string_view part) { return part_prompt(style, part); };
  spec.join_prompt = [style](std::span<const std::string> lists) {
    return join_prompt(style, lists);
  };
  spec.tidy = tidy_list;
  spec.lines_max = choice.part_lines > 0 ? choice.part_lines : sizes.lines;
  spec.lists_max = sizes.lists;
  spec.fold = sizes.fold;
  return spec;
}

class Run {
 public:
  Run(Os& os, JobContext& context, Choice choice, uint32_t screens)
      : os_(os),
        context_(context),
        choice_(std::move(choice)),
        steps_(context, os, 4U + (screens > 0 ? 1 : 0) + (choice_.speakers ? 1 : 0)) {}

  Result<std::string> run() {
    const std::vector<std::string>& files = context_.job().spec.files;
    Result<std::vector<Segment>> heard = steps_.transcribed(files[0], choice_.speech);
    if (!heard) return fail(heard.error());
    if (choice_.speakers) {
      auto turns = diarized(steps_, context_, files[0], *choice_.speakers);
      if (!turns) return fail(turns.error());
      give_speakers(*turns, &*heard);
    }
    const std::vector<std::string> screens(files.begin() + 1, files.end());
    Result<std::vector<std::string>> seen = look(screens);
    if (!seen) return fail(seen.error());
    const PromptStyle style = prompt_style(choice_.language);
    std::vector<std::string> lines;
    for (const Segment& segment : *heard) lines.push_back(part_line(style, segment) + "\n");
    const std::vector<TextUnit> units = units_of(lines);
    MapReduce work(os_, context_, steps_, minutes_spec(choice_, style));
    Result<std::vector<std::string>> parts = work.map(units);
    if (!parts) return fail(parts.error());
    Result<std::string> minutes = work.reduce(*parts);
    if (!minutes) return fail(minutes.error());
    return page(*heard, screens, *seen, *parts, *minutes);
  }

 private:
  // What each screenshot shows; answers kept by an earlier run are not asked again.
  Result<std::vector<std::string>> look(const std::vector<std::string>& screens) {
    const std::string prompt = screen_prompt(prompt_style(choice_.vision));
    std::vector<std::string> out(screens.size());
    std::vector<size_t> missing;
    const auto step = [](size_t i) { return fmt::format("screen-{}", i); };
    for (size_t i = 0; i < screens.size(); ++i) {
      if (auto kept = context_.checkpoint(step(i))) out[i] = *kept;
      else missing.push_back(i);
    }
    if (missing.empty()) return out;
    const auto work = [&](Session& session) -> Result<void> {
      for (size_t n = 0; n < missing.size(); ++n) {
        const size_t i = missing[n];
        Result<std::string> text = ask(os_, session, {.prompt = prompt, .images = {screens[i]}},
                                       context_.cancelled(), {});
        if (!text) return fail(text.error());
        out[i] = tidy_list(*text);
        context_.event({{"type", "answer"}, {"step", step(i)}, {"text", out[i]}});
        if (auto saved = context_.save_checkpoint(step(i), out[i]); !saved) return saved;
        steps_.fraction_of_step(static_cast<double>(n + 1) / static_cast<double>(missing.size()));
      }
      return {};
    };
    Result<void> done = steps_.with_model(fmt::format("read {} screens", screens.size()),
                                          choice_.vision, work);
    if (!done) return fail(done.error());
    return out;
  }

  Result<std::string> page(std::span<const Segment> heard, const std::vector<std::string>& screens,
                           const std::vector<std::string>& seen,
                           const std::vector<std::string>& parts, const std::string& minutes) {
    nlohmann::json out = {{"transcript", segments_json(heard)},
                          {"screens", nlohmann::json::array()},
                          {"parts", nlohmann::json::array()},
                          {"minutes", minutes},
                          {"steps", nlohmann::json::array()}};
    for (size_t i = 0; i < screens.size(); ++i) {
      out["screens"].push_back({{"file", base_name(screens[i])}, {"text", seen[i]}});
    }
    for (const std::string& part : parts) out["parts"].push_back({{"text", part}});
    for (const StepReport& report : steps_.reports()) out["steps"].push_back(step_json(report));
    return out.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  }

  Os& os_;
  JobContext& context_;
  const Choice choice_;
  Steps steps_;
};

class Minutes final : public Executor {
 public:
  explicit Minutes(Os& os) : os_(os) {}

  Result<void> check(const JobSpec& spec) const override {
    if (spec.files.empty()) return fail(Code::kUsage, "minutes needs a recording");
    Result<Choice> choice = read_choice(spec.params);
    if (!choice) return fail(choice.error());
    return {};
  }

  Result<std::string> run(JobContext& context) override {
    const JobSpec& spec = context.job().spec;
    Result<Choice> choice = read_choice(spec.params);
    if (!choice) return fail(choice.error());
    return Run(os_, context, *choice, static_cast<uint32_t>(spec.files.size() - 1)).run();
  }

 private:
  Os& os_;
};

}  // namespace

std::unique_ptr<Executor> make_minutes(Os& os) { return std::make_unique<Minutes>(os); }

std::string tidy_list(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    while (!line.empty() && (line.back() == ' ' || line.back() == '\r')) line.remove_suffix(1);
    if (line.empty() || line == "- no actions") continue;
    if (!out.empty()) out += '\n';
    out += line;
  }
  return out;
}

namespace {

// Throws nlohmann's type errors where a field is not what it should be.
Result<std::string> render_page(std::string_view result_json) {
  const nlohmann::json result = nlohmann::json::parse(result_json, nullptr, false);
  if (!result.is_object() || !result.contains("minutes") || !result["minutes"].is_string()) {
    return fail(Code::kCorrupt, "the job's result holds no minutes");
  }
  const std::string list = result["minutes"].get<std::string>();
  std::string out = "# Minutes\n\n" + (list.empty() ? std::string("- nothing was decided") : list);
  out += "\n";
  if (const auto& screens = result.value("screens", nlohmann::json::array()); !screens.empty()) {
    out += "\n## On the screens\n";
    for (const nlohmann::json& screen : screens) {
      out += fmt::format("\n{}\n{}\n", screen.value("file", ""), screen.value("text", ""));
    }
  }
  Result<std::vector<Segment>> heard =
      parse_segments(result.value("transcript", nlohmann::json::array()));
  if (!heard) return fail(heard.error());
  const auto doubtful = std::ranges::count_if(*heard, &Segment::low_confidence);
  if (doubtful > 0) {
    out += fmt::format("\n{} of {} parts of the transcript, marked {}are probably not what was "
                       "said; nor is what was made of them.\n",
                       doubtful, heard->size(), kLowConfidenceMark);
  }
  out += "\n## Transcript\n\n";
  for (const Segment& s : *heard) {
    out += fmt::format("{:>7}  {}\n", short_time(s.start), line_of(s));
  }
  return out;
}

}  // namespace

Result<std::string> render_minutes(std::string_view result_json) {
  try {
    return render_page(result_json);
  } catch (const nlohmann::json::exception& e) {
    return fail(Code::kCorrupt, std::string("the job's result is damaged: ") + e.what());
  }
}

}  // namespace gantry
