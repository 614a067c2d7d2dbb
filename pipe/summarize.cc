// A text file, cut, asked about, joined.
#include "pipe/summarize.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "pipe/map_reduce.h"
#include "pipe/minutes.h"
#include "pipe/params.h"

namespace gantry {

namespace {

const std::vector<std::string_view> kKeys = {
    "model", "map", "reduce", "map_prompt", "reduce_prompt", "prompt_tokens", "answer_tokens",
    "part_lines"};

// What a user asks goes before the text, as our own questions do.
std::string before(const std::string& question, std::string_view text) {
  return question + "\n\n" + std::string(text);
}

Result<MapReduceSpec> read_spec(const std::string& text) {
  Result<nlohmann::json> params = parse_params(text, kKeys);
  if (!params) return fail(params.error());
  MapReduceSpec spec;
  spec.what = "summary";
  const Result<std::string> model = text_param(*params, "model", kLanguageModel);
  if (!model) return fail(model.error());
  Result<std::string> map = text_param(*params, "map", *model);
  if (!map) return fail(map.error());
  Result<std::string> reduce = text_param(*params, "reduce", *model);
  if (!reduce) return fail(reduce.error());
  Result<std::string> ask_part = text_param(*params, "map_prompt", "");
  if (!ask_part) return fail(ask_part.error());
  Result<std::string> ask_join = text_param(*params, "reduce_prompt", "");
  if (!ask_join) return fail(ask_join.error());
  for (const auto& [key, most, out] :
       {std::tuple{"prompt_tokens", 1 << 24, &spec.prompt_tokens},
        {"answer_tokens", 1 << 20, &spec.answer_tokens},
        {"part_lines", 1'000'000, &spec.lines_max}}) {
    Result<double> number = number_param(*params, key, 0, 0, most);
    if (!number) return fail(number.error());
    *out = static_cast<uint32_t>(*number);
  }
  spec.map_model = std::move(*map);
  spec.reduce_model = std::move(*reduce);
  const bool micro_map = prompt_style(spec.map_model) == PromptStyle::kMicro;
  const bool micro_join = prompt_style(spec.reduce_model) == PromptStyle::kMicro;
  spec.part_prompt = [question = *ask_part, micro_map](std::string_view part) {
    if (!question.empty()) return before(question, part);
    return micro_map ? part_prompt(PromptStyle::kMicro, part) : text_part_prompt(part);
  };
  spec.join_prompt = [question = *ask_join, micro_join](std::span<const std::string> lists) {
    if (micro_join && question.empty()) return join_prompt(PromptStyle::kMicro, lists);
    if (question.empty()) return text_join_prompt(lists);
    std::string all;
    for (const std::string& list : lists) all += (all.empty() ? "" : "\n\n") + list;
    return before(question, all);
  };
  spec.tidy = tidy_list;
  if (micro_map && spec.lines_max == 0) spec.lines_max = part_sizes(PromptStyle::kMicro).lines;
  if (micro_join) {
    spec.lists_max = part_sizes(PromptStyle::kMicro).lists;
    spec.fold = true;
  }
  return spec;
}

class Summarize final : public Executor {
 public:
  explicit Summarize(Os& os) : os_(os) {}

  Result<void> check(const JobSpec& spec) const override {
    if (spec.files.size() != 1) {
      return fail(Code::kUsage, "summarize takes exactly one text",
                  "submit one job for each file");
    }
    if (Result<MapReduceSpec> read = read_spec(spec.params); !read) return fail(read.error());
    return {};
  }

  Result<std::string> run(JobContext& context) override {
    const JobSpec& job = context.job().spec;
    Result<MapReduceSpec> spec = read_spec(job.params);
    if (!spec) return fail(spec.error());
    Result<std::string> text = os_.read_file(job.files[0], kPromptMax);
    if (!text) return fail(text.error());
    const std::string name = base_name(job.files[0]);
    if (!valid_utf8(*text) || text->find('\0') != text->npos) {
      return fail(Code::kCorrupt, name + " is no text in UTF-8", "convert it first, with iconv");
    }
    const std::vector<TextUnit> units = text_units(*text);
    if (text->find_first_not_of(" \t\r\n") == text->npos) {
      return fail(Code::kCorrupt, name + " holds no text");
    }
    Steps steps(context, os_, 2);
    MapReduce work(os_, context, steps, std::move(*spec));
    Result<std::vector<std::string>> answers = work.map(units);
    if (!answers) return fail(answers.error());
    Result<std::string> summary = work.reduce(*answers);
    if (!summary) return fail(summary.error());
    nlohmann::json out = {{"text", *summary},
                          {"levels", work.levels()},
                          {"parts", nlohmann::json::array()},
                          {"steps", nlohmann::json::array()}};
    for (size_t i = 0; i < answers->size(); ++i) {
      out["parts"].push_back({{"text", work.parts()[i]}, {"answer", (*answers)[i]}});
    }
    for (const StepReport& report : steps.reports()) out["steps"].push_back(step_json(report));
    return out.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  }

 private:
  Os& os_;
};

}  // namespace

std::unique_ptr<Executor> make_summarize(Os& os) { return std::make_unique<Summarize>(os); }

}  // namespace gantry
