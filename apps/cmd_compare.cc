// compare: two engines on the same recordings, against a reference or against each other.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "apps/context.h"
#include "apps/follow.h"
#include "apps/paths.h"
#include "pipe/transcript.h"
#include "pipe/wer.h"

namespace gantry {

namespace {

constexpr size_t kShownMax = 20;  // differences of one recording
constexpr Bytes kReferenceMax = MiB(16);

struct CompareFlags final : Flags {
  std::string file, reference;
  std::vector<std::string> models;
};

// What one engine made of the recording.
struct Heard {
  std::string model, text, device;
  double seconds = 0;  // of its work, loading apart
  std::optional<WordErrors> against;  // the reference
};

// Where and how long the model worked; absent when the job found it done.
Result<void> read_step(const nlohmann::json& page, const std::string& model, Heard* heard) {
  try {
    for (const nlohmann::json& step : page.value("steps", nlohmann::json::array())) {
      if (step.value("model", "") != model) continue;
      heard->seconds = step.value("run_s", 0.0);
      heard->device = step.value("device", "");
    }
  } catch (const nlohmann::json::exception&) {
    return fail(Code::kCorrupt, "the result's steps are not such as this program knows",
                "use a daemon of this program's version");
  }
  return {};
}

Result<Heard> hear(const DaemonLink& link, const std::string& model, const std::string& file) {
  const bool path = model.find('/') != std::string::npos;
  const nlohmann::json params = {{"model", path ? absolute_path(model) : model}};
  Result<JobResult> result = run_order(link, {"transcribe", params.dump(), {file}, 0, {}});
  if (!result) return fail(result.error());
  Result<nlohmann::json> page = result_page(*result, "segments");
  if (!page) return fail(page.error());
  Result<std::vector<Segment>> segments = parse_segments((*page)["segments"]);
  if (!segments) return fail(segments.error());
  Heard heard{model, {}, {}, 0, {}};
  for (const Segment& segment : *segments) heard.text += segment.text + "\n";
  if (Result<void> found = read_step(*page, params["model"], &heard); !found) {
    return fail(found.error());
  }
  return heard;
}

nlohmann::json errors_json(const WordErrors& errors) {
  nlohmann::json edits = nlohmann::json::array();
  for (const WordEdit& edit : errors.edits) {
    edits.push_back({{"word", edit.at}, {"said", edit.said}, {"heard", edit.heard}});
  }
  return {{"words", errors.words},       {"wer", errors.rate()},
          {"substituted", errors.substituted}, {"deleted", errors.deleted},
          {"inserted", errors.inserted}, {"edits", std::move(edits)}};
}

std::string edits_text(const WordErrors& errors) {
  std::string out;
  for (size_t i = 0; i < errors.edits.size() && i < kShownMax; ++i) {
    const WordEdit& edit = errors.edits[i];
    out += fmt::format("  word {:>6}  {} -> {}\n", edit.at + 1,
                       edit.said.empty() ? "-" : edit.said, edit.heard.empty() ? "-" : edit.heard);
  }
  if (errors.edits.size() > kShownMax) {
    out += fmt::format("  and {} more\n", errors.edits.size() - kShownMax);
  }
  return out;
}

Result<void> show(const CliContext& context, const std::vector<Heard>& all,
                  const WordErrors& between) {
  const double agreement = std::max(0.0, 1 - between.rate());
  if (context.json) {
    nlohmann::json out = {{"engines", nlohmann::json::array()},
                          {"agreement", agreement},
                          {"between", errors_json(between)}};
    for (const Heard& heard : all) {
      nlohmann::json one = {{"model", heard.model}, {"device", heard.device},
                            {"run_s", heard.seconds}, {"text", heard.text}};
      if (heard.against) one["against_reference"] = errors_json(*heard.against);
      out["engines"].push_back(std::move(one));
    }
    return print(out.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
  }
  std::string text;
  for (const Heard& heard : all) {
    text += fmt::format("{:<24} {:<8} {:8.2f} s", heard.model, heard.device, heard.seconds);
    if (heard.against) {
      text += fmt::format("   WER {:5.1f} % ({} of {} words)", heard.against->rate() * 100,
                          heard.against->errors(), heard.against->words);
    }
    text += "\n";
    if (heard.against) text += edits_text(*heard.against);
  }
  text += fmt::format("agreement {:.1f} % of {} words\n", agreement * 100, between.words);
  if (!all.front().against) text += edits_text(between);
  return print(text);
}

Result<void> compare(const CliContext& context, const CompareFlags& flags) {
  if (flags.models.size() != 2) return fail(Code::kUsage, "name two models: -m A -m B");
  if (Result<FileInfo> there = context.os.stat(flags.file); !there) return fail(there.error());
  std::optional<std::vector<std::string>> reference;
  if (!flags.reference.empty()) {
    Result<std::string> text = context.os.read_file(flags.reference, kReferenceMax);
    if (!text) return fail(text.error());
    reference = words_of(*text);
    if (reference->empty()) return fail(Code::kCorrupt, flags.reference + " holds no words");
  }
  Result<DaemonLink> link = context.open_link();
  if (!link) return fail(link.error());
  std::vector<Heard> all;
  for (const std::string& model : flags.models) {
    Result<Heard> heard = hear(*link, model, absolute_path(flags.file));
    if (!heard) return fail(heard.error());
    if (reference) {
      Result<WordErrors> errors = compare_words(*reference, words_of(heard->text));
      if (!errors) return fail(errors.error());
      heard->against = std::move(*errors);
    }
    all.push_back(std::move(*heard));
  }
  Result<WordErrors> between = compare_words(words_of(all[0].text), words_of(all[1].text));
  if (!between) return fail(between.error());
  return show(context, all, *between);
}

}  // namespace

void add_compare(CLI::App& app, CliContext& context) {
  CompareFlags& flags = context.keep<CompareFlags>();
  CLI::App* command =
      app.add_subcommand("compare", "Two speech models on one recording: word errors, agreement");
  command->add_option("file", flags.file, "The recording")->required();
  command->add_option("-m,--model", flags.models, "Speech model; twice")->required();
  command->add_option("--reference", flags.reference, "What was said, a text file");
  command->add_flag("--json", context.json, "All differences, for scripts");
  command->footer("Case and punctuation do not count. Without a reference the first model's words\n"
                  "stand in its place, and nothing is said of who is right.\n"
                  "Examples:\n  gantry compare talk.wav -m whisper-small -m whisper-large\n"
                  "  gantry compare talk.wav -m micro-asr -m ./q5.bin --reference talk.txt");
  command->callback([&context, &flags] {
    context.work = [&context, &flags] { return context.finish(compare(context, flags)); };
  });
}

}  // namespace gantry
