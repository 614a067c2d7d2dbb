// run, transcribe, minutes, summarize: work done now, with the result on stdout.
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>

#include "apps/context.h"
#include "apps/follow.h"
#include "apps/paths.h"
#include "apps/streaming.h"
#include "pipe/ask.h"
#include "pipe/minutes.h"
#include "pipe/transcript.h"

namespace gantry {

namespace {

bool terminal(int fd) { return ::isatty(fd) == 1; }

// A name from the catalogue stays a name; a path becomes absolute, for the daemon's sake.
std::string model_argument(Os& os, const std::string& model) {
  const bool path = model.find('/') != std::string::npos || model.ends_with(".gguf") ||
                    model.ends_with(".bin");
  return path || os.stat(model) ? absolute_path(model) : model;
}

Result<std::vector<std::string>> absolute_files(Os& os, const std::vector<std::string>& files) {
  std::vector<std::string> out;
  for (const std::string& file : files) {
    const Result<FileInfo> info = os.stat(file);
    if (!info) return fail(info.error());
    if (info->is_dir) return fail(Code::kUsage, file + " is a folder", "name the files in it");
    if (info->size.n == 0) return fail(Code::kCorrupt, file + " is empty", "record it again");
    if (::access(file.c_str(), R_OK) != 0) return fail(os_error("cannot read " + file, errno));
    out.push_back(absolute_path(file));
  }
  return out;
}

// NAME#WAY, as the daemon knows a model that streams in a way of its own.
std::string streamed_name(const std::string& model, const std::string& way) {
  return way.empty() ? model : model + "#" + way;
}

// ---- run

struct RunFlags final : Flags {
  std::string model, prompt, system;
  std::vector<std::string> images;
  uint32_t tokens = 1024;
  double temperature = 0;
  uint64_t seed = 0;
  bool stays = false;
  StreamingFlags streaming;
};

Result<std::string> prompt_text(const RunFlags& flags) {
  if (!flags.prompt.empty()) return flags.prompt;
  if (terminal(STDIN_FILENO)) return fail(Code::kUsage, "there is no prompt", "give -p TEXT");
  std::string text;
  std::array<char, 65536> chunk{};
  for (ssize_t n = 0; (n = ::read(STDIN_FILENO, chunk.data(), chunk.size())) > 0;) {
    text.append(chunk.data(), static_cast<size_t>(n));
    if (text.size() > kPromptMax.n) return fail(Code::kTooLarge, "the prompt is too long");
  }
  if (text.empty()) return fail(Code::kUsage, "the prompt is empty", "give -p TEXT");
  return text;
}

Result<void> run_model(CliContext& context, const RunFlags& flags) {
  const Result<std::string> way = flags.streaming.word(&context.config);
  if (!way) return fail(way.error());
  Result<std::string> prompt = prompt_text(flags);
  if (!prompt) return fail(prompt.error());
  Result<std::vector<std::string>> images = absolute_files(context.os, flags.images);
  if (!images) return fail(images.error());
  const Question question{flags.system, *prompt,           *images,
                          flags.tokens, flags.temperature, flags.seed, flags.stays};
  Result<std::string> body =
      chat_body(context.os, streamed_name(model_argument(context.os, flags.model), *way), question);
  if (!body) return fail(body.error());
  Result<DaemonLink> link = context.open_link();
  if (!link) return fail(link.error());
  ChatStream stream;
  std::optional<Error> broken;
  const Result<void> streamed =
      link->stream("/v1/chat/completions", *body, [&](std::string_view piece) {
        const Result<std::string> text = stream.feed(piece);
        const Result<void> shown = text ? print(*text) : fail(text.error());
        if (!shown) broken = shown.error();
        return !broken;
      });
  if (broken) return fail(*broken);
  if (!streamed) return streamed;
  if (!stream.done()) return fail(Code::kWorkerFailed, "the model's answer broke off");
  return print("\n");
}

// ---- transcribe

// Whether speakers are told apart, and how many.
struct SpeakerFlags {
  std::optional<uint32_t> speakers;
  std::optional<double> threshold;
  std::string model;

  void add_to(CLI::App* command) {
    auto* count = command->add_option("--speakers", speakers,
                                      "Tell so many speakers apart; 0: find out how many")
                      ->check(CLI::Range(0U, kSpeakersMax));
    command->add_option("--threshold", threshold, "Tell speakers of such a distance apart, 0 to 2")
        ->check(CLI::Range(0.0, kSpeakerThresholdMax))
        ->excludes(count);
    command->add_option("--diarization", model,
                        "With this model (default: the first configured one, or speakers)");
  }
  bool wanted() const { return speakers || threshold || !model.empty(); }
  void set(nlohmann::json* params) const {
    if (speakers) (*params)["speakers"] = *speakers;
    if (threshold) (*params)["threshold"] = *threshold;
    if (!model.empty()) (*params)["diarization"] = model;
  }
};

struct TranscribeFlags final : Flags {
  std::vector<std::string> files;
  std::string model, format = "text", out_dir;
  SpeakerFlags who;
};

// Once a recording, whatever the format; the mark alone explains nothing.
void tell_doubts(std::span<const Segment> segments, const std::string& file,
                 const std::string& model) {
  const auto doubtful = std::ranges::count_if(segments, &Segment::low_confidence);
  if (doubtful == 0) return;
  constexpr const char* kOfDefault = "micro-asr knows 40 words; for English: -m moonshine-tiny-en";
  constexpr const char* kOfOthers =
      "the model may not know this language or these words; try another one";
  fmt::print(stderr, "gantry: {}: {} of {} segments are marked (?): probably not what was said "
                     "({})\n",
             base_name(file), doubtful, segments.size(), model.empty() ? kOfDefault : kOfOthers);
}

Result<void> transcribe_one(const CliContext& context, const DaemonLink& link,
                            const TranscribeFlags& flags, const std::string& file) {
  nlohmann::json params = nlohmann::json::object();
  if (!flags.model.empty()) params["model"] = model_argument(context.os, flags.model);
  flags.who.set(&params);
  Result<JobResult> result = run_order(link, {"transcribe", params.dump(), {file}, 0, {}});
  if (!result) return fail(result.error());
  Result<nlohmann::json> page = result_page(*result, "segments");
  if (!page) return fail(page.error());
  Result<std::vector<Segment>> segments = parse_segments((*page)["segments"]);
  if (!segments) return fail(segments.error());
  Result<std::string> text = render_transcript(*segments, flags.format, base_name(file));
  if (!text) return fail(text.error());
  tell_doubts(*segments, file, flags.model);
  if (flags.out_dir.empty()) return print(*text);
  const std::string name = base_name(file);
  const std::string ending = flags.format == "text" ? "txt" : flags.format;
  const std::string path = join_path(flags.out_dir, name.substr(0, name.rfind('.')) + "." + ending);
  if (Result<void> made = context.os.make_dirs(flags.out_dir, 0755); !made) return made;
  return context.os.write_file(path, *text, 0644);
}

Result<void> transcribe(const CliContext& context, const TranscribeFlags& flags) {
  // Asked before any work, so that a wrong word costs nothing.
  if (Result<std::string> known = render_transcript({}, flags.format); !known) {
    return fail(known.error());
  }
  if (flags.format == "rttm" && !flags.who.wanted()) {
    return fail(Code::kUnsupported, "rttm lists who spoke when",
                "add --speakers N or --threshold X");
  }
  Result<std::vector<std::string>> files = absolute_files(context.os, flags.files);
  if (!files) return fail(files.error());
  Result<DaemonLink> link = context.open_link();
  if (!link) return fail(link.error());
  std::optional<Error> first;
  for (const std::string& file : *files) {
    Result<void> done = transcribe_one(context, *link, flags, file);
    if (done) continue;
    if (files->size() == 1 || done.error().code == Code::kCancelled) return done;
    report(Error{done.error().code, file + ": " + done.error().message, done.error().remedy});
    if (!first) first = done.error();
  }
  if (first) return fail(first->code, "some recordings failed; see above");
  return {};
}

// ---- minutes

struct MinutesFlags final : Flags {
  std::string recording, speech, vision, language, format = "text";
  std::vector<std::string> screens;
  SpeakerFlags who;
  bool live = false;
};

// Highest sum of all workers' memory so far, against what the plan allows.
std::string peak_line(const DaemonLink& link) {
  const Result<nlohmann::json> running = link.call("GET", "/running", "");
  if (!running || !running->is_object() || !running->contains("devices")) return {};
  std::string out;
  for (const nlohmann::json& device : (*running)["devices"]) {
    const auto bytes = [&device](const char* key) {
      return format_bytes(Bytes{device.value(key, uint64_t{0})});
    };
    out += fmt::format("peak of all workers together on {}: {} of {} allowed\n",
                       device.value("name", ""), bytes("measured_peak_bytes"),
                       bytes("budget_bytes"));
  }
  return out;
}

Result<void> minutes(const CliContext& context, const MinutesFlags& flags) {
  std::vector<std::string> named = {flags.recording};
  named.insert(named.end(), flags.screens.begin(), flags.screens.end());
  Result<std::vector<std::string>> files = absolute_files(context.os, named);
  if (!files) return fail(files.error());
  nlohmann::json params = nlohmann::json::object();
  for (const auto& [key, model] : {std::pair{"speech", &flags.speech}, {"vision", &flags.vision},
                                   {"language", &flags.language}}) {
    if (!model->empty()) params[key] = model_argument(context.os, *model);
  }
  flags.who.set(&params);
  Result<DaemonLink> link = context.open_link();
  if (!link) return fail(link.error());
  Result<JobResult> result =
      run_order(*link, {"minutes", params.dump(), *files, 0, {}}, flags.live);
  if (!result) return fail(result.error());
  if (const std::string peak = peak_line(*link); !peak.empty()) {
    std::fprintf(stderr, "  %s", peak.c_str());
  }
  if (flags.format == "json") return print(result->bytes);
  Result<std::string> page = render_minutes(result->bytes);
  if (!page) return fail(page.error());
  return print(*page);
}

// ---- summarize

struct SummarizeFlags final : Flags {
  std::string file, model, map, reduce, map_prompt, reduce_prompt;
  uint32_t prompt_tokens = 0, answer_tokens = 0;
  bool live = false;
};

Result<void> summarize(const CliContext& context, const SummarizeFlags& flags) {
  Result<std::vector<std::string>> files = absolute_files(context.os, {flags.file});
  if (!files) return fail(files.error());
  nlohmann::json params = nlohmann::json::object();
  for (const auto& [key, model] : {std::pair{"model", &flags.model}, {"map", &flags.map},
                                   {"reduce", &flags.reduce}}) {
    if (!model->empty()) params[key] = model_argument(context.os, *model);
  }
  if (!flags.map_prompt.empty()) params["map_prompt"] = flags.map_prompt;
  if (!flags.reduce_prompt.empty()) params["reduce_prompt"] = flags.reduce_prompt;
  if (flags.prompt_tokens > 0) params["prompt_tokens"] = flags.prompt_tokens;
  if (flags.answer_tokens > 0) params["answer_tokens"] = flags.answer_tokens;
  Result<DaemonLink> link = context.open_link();
  if (!link) return fail(link.error());
  const std::string words =
      params.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  Result<JobResult> result = run_order(*link, {"summarize", words, *files, 0, {}}, flags.live);
  if (!result) return fail(result.error());
  if (context.json) return print(result->bytes);
  Result<nlohmann::json> page = result_page(*result, "text");
  if (!page) return fail(page.error());
  return print(page->value("text", "") + "\n");
}

void add_summarize(CLI::App& app, CliContext& context) {
  SummarizeFlags& flags = context.keep<SummarizeFlags>();
  CLI::App* command =
      app.add_subcommand("summarize", "Sum up a text of any length, part by part");
  command->add_option("file", flags.file, "A text in UTF-8")->required();
  command->add_option("-m,--model", flags.model, "Language model (default: micro-minutes)");
  command->add_option("--map-model", flags.map, "Another one for the parts: small, on an NPU");
  command->add_option("--reduce-model", flags.reduce, "Another one that joins the answers");
  command->add_option("--map-prompt", flags.map_prompt, "What to ask of each part");
  command->add_option("--reduce-prompt", flags.reduce_prompt, "What to ask of several answers");
  command->add_option("--prompt-tokens", flags.prompt_tokens, "Tokens of a prompt at most")
      ->check(CLI::Range(1, 1 << 24));
  command->add_option("--answer-tokens", flags.answer_tokens, "Tokens of an answer at most")
      ->check(CLI::Range(1, 1 << 20));
  command->add_flag("--live", flags.live, "Show answers as they come");
  command->add_flag("--json", context.json, "The parts and their answers too");
  command->footer("The text is cut between sentences and speakers, by the model's own tokens;\n"
                  "answers are joined, level by level, until one is left. Interrupted work goes\n"
                  "on where it was: gantry submit summarize FILE.\n"
                  "Examples:\n  gantry summarize report.txt -m llama3:8b\n"
                  "  gantry summarize talk.txt --map-model phi-npu --reduce-model llama3:8b\n"
                  "  gantry summarize log.txt --map-prompt 'List every error:' --live");
  command->callback([&context, &flags] {
    context.work = [&context, &flags] { return context.finish(summarize(context, flags)); };
  });
}

}  // namespace

void add_model_commands(CLI::App& app, CliContext& context) {
  RunFlags& run = context.keep<RunFlags>();
  CLI::App* command = app.add_subcommand("run", "Ask a language or vision model once");
  command->add_option("model", run.model, "Name from the catalogue, or a GGUF file")->required();
  command->add_option("-p,--prompt", run.prompt, "The question; read from stdin when absent");
  command->add_option("--system", run.system, "System prompt");
  command->add_option("--image", run.images, "Picture to look at (vision models)");
  command->add_option("-n,--predict", run.tokens, "Tokens at most")->check(CLI::Range(1, 1 << 20));
  command->add_option("--temp", run.temperature, "Temperature; 0 takes the likeliest token")
      ->check(CLI::Range(0.0, 10.0));
  command->add_option("--seed", run.seed, "Seed of the sampler");
  command->add_flag("--private", run.stays, "Nothing of it leaves this machine");
  run.streaming.add_to(command);
  command->footer("A model larger than its memory streams: its layers pass through a ring.\n"
                  "Example:\n  gantry run big.gguf -p 'Hello.' --ram-budget 4GiB\n"
                  "  gantry run micro-minutes -p 'Minutes of this part:\n"
                  "turn on the kitchen light'");
  command->callback([&context, &run] {
    context.work = [&context, &run] { return context.finish(run_model(context, run)); };
  });

  TranscribeFlags& speech = context.keep<TranscribeFlags>();
  command = app.add_subcommand("transcribe", "Speech to text, for any recording ffmpeg reads");
  command->add_option("files", speech.files, "Recordings")->required();
  command->add_option("-m,--model", speech.model, "Speech model (default: micro-asr)");
  command->add_option("--format", speech.format, "text, srt, vtt, json or rttm")
      ->capture_default_str();
  speech.who.add_to(command);
  command->add_option("-o,--out-dir", speech.out_dir, "Write NAME.txt, NAME.srt ... there");
  command->footer("Example:\n  gantry transcribe --format srt talk.mp3 > talk.srt\n"
                  "  gantry transcribe --speakers 2 --format rttm talk.mp3");
  command->callback([&context, &speech] {
    context.work = [&context, &speech] { return context.finish(transcribe(context, speech)); };
  });

  MinutesFlags& meeting = context.keep<MinutesFlags>();
  command = app.add_subcommand("minutes", "Minutes of a recorded meeting and its screenshots");
  command->add_option("recording", meeting.recording, "The recording")->required();
  command->add_option("--screens", meeting.screens, "Screenshots, in the order they were taken");
  command->add_option("--speech", meeting.speech, "Speech model (default: micro-asr)");
  command->add_option("--vision", meeting.vision, "Vision model (default: micro-vision)");
  command->add_option("--language", meeting.language, "Language model (default: micro-minutes)");
  command->add_option("--format", meeting.format, "text (a page) or json")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
  meeting.who.add_to(command);
  command->add_flag("--live", meeting.live, "Show transcript and answers as they come");
  command->footer("Example:\n  gantry minutes meeting.m4a --screens *.png > minutes.md");
  command->callback([&context, &meeting] {
    context.work = [&context, &meeting] { return context.finish(minutes(context, meeting)); };
  });
  add_summarize(app, context);
}

}  // namespace gantry
