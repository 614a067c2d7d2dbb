// The minutes pipeline.
#include "pipe/minutes.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "pipe/ask.h"
#include "pipe/params.h"
#include "pipe/step.h"
#include "pipe/transcript.h"

namespace gantry {

namespace {

const std::vector<std::string_view> kKeys = {"speech", "vision", "language", "part_lines"};

struct Choice {
  std::string speech, vision, language;
  uint32_t part_lines = 0;  // 0: the style's own
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
  return Choice{*speech, *vision, *language, static_cast<uint32_t>(*lines)};
}

// One question of a batch and the name its answer is kept under.
struct Item {
  std::string step;
  Question question;
};

class Run {
 public:
  Run(Os& os, JobContext& context, Choice choice, uint32_t screens)
      : os_(os),
        context_(context),
        choice_(std::move(choice)),
        steps_(context, os, screens > 0 ? 5 : 4) {}

  Result<std::string> run() {
    const std::vector<std::string>& files = context_.job().spec.files;
    Result<std::vector<Segment>> heard = steps_.transcribed(files[0], choice_.speech);
    if (!heard) return fail(heard.error());
    const std::vector<std::string> screens(files.begin() + 1, files.end());
    Result<std::vector<std::string>> seen = look(screens);
    if (!seen) return fail(seen.error());
    Result<std::vector<std::string>> parts = map(*heard);
    if (!parts) return fail(parts.error());
    Result<std::string> minutes = reduce(*parts);
    if (!minutes) return fail(minutes.error());
    return page(*heard, screens, *seen, *parts, *minutes);
  }

 private:
  // Asks one question, tells watchers, and keeps the answer.
  Result<std::string> answer(Session& session, const Item& item) {
    Result<std::string> text = ask(os_, session, item.question, context_.cancelled(), {});
    if (!text) return fail(text.error());
    const std::string list = tidy_list(*text);
    context_.event({{"type", "answer"}, {"step", item.step}, {"text", list}});
    if (auto saved = context_.save_checkpoint(item.step, list); !saved) return fail(saved.error());
    return list;
  }

  // Asks all questions in one session; answers kept by an earlier run are not asked again.
  Result<std::vector<std::string>> answers(const std::string& name, const std::string& model,
                                           const std::vector<Item>& items) {
    std::vector<std::string> out(items.size());
    std::vector<size_t> missing;
    for (size_t i = 0; i < items.size(); ++i) {
      std::optional<std::string> kept = context_.checkpoint(items[i].step);
      if (kept) out[i] = *kept;
      else missing.push_back(i);
    }
    if (missing.empty()) return out;
    const auto work = [&](Session& session) -> Result<void> {
      for (size_t n = 0; n < missing.size(); ++n) {
        Result<std::string> text = answer(session, items[missing[n]]);
        if (!text) return fail(text.error());
        out[missing[n]] = *text;
        steps_.fraction_of_step(static_cast<double>(n + 1) / static_cast<double>(missing.size()));
      }
      return {};
    };
    if (Result<void> done = steps_.with_model(name, model, work); !done) return fail(done.error());
    return out;
  }

  Result<std::vector<std::string>> look(const std::vector<std::string>& screens) {
    std::vector<Item> items;
    const std::string prompt = screen_prompt(prompt_style(choice_.vision));
    for (size_t i = 0; i < screens.size(); ++i) {
      items.push_back({fmt::format("screen-{}", i), {.prompt = prompt, .images = {screens[i]}}});
    }
    return answers(fmt::format("read {} screens", screens.size()), choice_.vision, items);
  }

  Result<std::vector<std::string>> map(std::span<const Segment> heard) {
    const PromptStyle style = prompt_style(choice_.language);
    const size_t lines = choice_.part_lines > 0 ? choice_.part_lines : part_sizes(style).lines;
    std::vector<Item> items;
    for (size_t at = 0; at < heard.size(); at += lines) {
      const auto part = heard.subspan(at, std::min(lines, heard.size() - at));
      items.push_back({fmt::format("part-{}", items.size()), {.prompt = part_prompt(style, part)}});
    }
    return answers(fmt::format("minutes of {} parts", items.size()), choice_.language, items);
  }

  // A left fold: the list so far and the next ones become the new list so far. Measured better than
  // a tree, because only the left list ever holds joined entries.
  Result<std::string> reduce(const std::vector<std::string>& parts) {
    const PromptStyle style = prompt_style(choice_.language);
    const size_t taken = part_sizes(style).lists - 1;
    std::vector<std::string> lists;
    for (const std::string& part : parts) {
      if (!part.empty()) lists.push_back(part);
    }
    if (lists.empty()) return std::string();
    std::string so_far = lists[0];
    size_t at = 1;
    for (; at < lists.size(); at += taken) {
      const std::optional<std::string> kept = context_.checkpoint(fmt::format("join-{}", at));
      if (!kept) break;
      so_far = *kept;
    }
    if (at >= lists.size()) return so_far;
    const auto work = [&](Session& session) -> Result<void> {
      for (; at < lists.size(); at += taken) {
        std::vector<std::string> group = {so_far};
        const size_t end = std::min(lists.size(), at + taken);
        for (size_t i = at; i < end; ++i) group.push_back(lists[i]);
        Result<std::string> joined = answer(
            session, {fmt::format("join-{}", at), {.prompt = join_prompt(style, group)}});
        if (!joined) return fail(joined.error());
        so_far = *joined;
        steps_.fraction_of_step(static_cast<double>(end) / static_cast<double>(lists.size()));
      }
      return {};
    };
    const std::string name = fmt::format("join {} lists", lists.size());
    Result<void> done = steps_.with_model(name, choice_.language, work);
    if (!done) return fail(done.error());
    return so_far;
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
  out += "\n## Transcript\n\n";
  for (const Segment& s : *heard) out += fmt::format("{:>7}  {}\n", short_time(s.start), s.text);
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
