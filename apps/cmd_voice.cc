// speak, diarize, talk: speech out, who spoke when, and a turn of a conversation.
#include <fmt/format.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "apps/context.h"
#include "apps/follow.h"
#include "apps/paths.h"
#include "base/base64.h"
#include "pipe/script.h"
#include "pipe/speakers.h"
#include "worker/sound_encoding.h"
#include "worker/worker.h"

namespace gantry {

namespace {

std::string dump(const nlohmann::json& json) {
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

// A wav of ours in the format that the file's name says. Written aside and renamed: an interrupt
// leaves no half file. The bytes that are in it.
Result<size_t> write_sound(const CliContext& context, const std::string& file,
                           std::string_view wav) {
  const Result<SoundFormat> format = sound_format_of(file);
  if (!format) return fail(format.error());
  const WorkerContext workers{.worker_exe = sibling_program(context.os, "gantry-worker")};
  const Result<std::string> bytes = encode_wav(context.os, workers, *format, wav);
  if (!bytes) return fail(bytes.error());
  if (auto written = context.os.write_file(file, *bytes, 0644); !written) {
    return fail(written.error());
  }
  return bytes->size();
}

// ---- speak

struct SpeakFlags final : Flags {
  std::string text, model, voice, output;
  std::vector<std::string> speakers;
  double speed = 1;
  bool script = false, json = false;
};

// What is said, and whether it came from a file: the argument where it names none.
Result<std::pair<std::string, bool>> text_to_say(Os& os, const SpeakFlags& flags) {
  const Result<FileInfo> info = os.stat(flags.text);
  if (!info || info->is_dir) return std::pair{flags.text, false};
  Result<std::string> text = os.read_file(flags.text, Bytes{kSpeakTextMax});
  if (!text && text.error().code == Code::kTooLarge) {
    return fail(Code::kTooLarge,
                fmt::format("{} has more than {} bytes of text", flags.text, kSpeakTextMax),
                "cut it into parts");
  }
  if (!text) return fail(text.error());
  return std::pair{std::move(*text), true};
}

Result<std::string> speak_params(Os& os, const SpeakFlags& flags) {
  Result<std::pair<std::string, bool>> said = text_to_say(os, flags);
  if (!said) return fail(said.error());
  const auto& [text, from_file] = *said;
  nlohmann::json params = {{"text", text}, {"speed", flags.speed}};
  const bool script = flags.script || !flags.speakers.empty() || (from_file && is_script(text));
  // Asked before any work, so that a wrong word costs nothing.
  if (script) {
    if (auto lines = parse_script(text); !lines) return fail(lines.error());
    params["script"] = true;
  } else if (auto whole = sentences(text); !whole) {
    return fail(whole.error());
  }
  if (!flags.model.empty()) params["model"] = flags.model;
  if (!flags.voice.empty()) params["voice"] = flags.voice;
  std::string voices;
  for (const std::string& speaker : flags.speakers) {
    voices += (voices.empty() ? "" : ",") + speaker;
  }
  if (!voices.empty()) params["voices"] = voices;
  return dump(params);
}

Result<void> speak(const CliContext& context, const SpeakFlags& flags) {
  const bool to_terminal = flags.output.empty() && ::isatty(STDOUT_FILENO) == 1;
  if (to_terminal || (flags.json && flags.output.empty())) {
    return fail(Code::kUsage, "sound is not for a terminal", "give -o out.wav, or a pipe");
  }
  if (const auto format = sound_format_of(flags.output); !format) return fail(format.error());
  Result<std::string> params = speak_params(context.os, flags);
  if (!params) return fail(params.error());
  Result<DaemonLink> link = context.open_link();
  if (!link) return fail(link.error());
  Result<JobResult> wav = run_order(*link, {"speak", *params, {}, 0, {}});
  if (!wav) return fail(wav.error());
  if (flags.output.empty()) return print(wav->bytes);
  const Result<size_t> bytes = write_sound(context, flags.output, wav->bytes);
  if (!bytes) return fail(bytes.error());
  if (!flags.json) return {};
  return print(dump({{"job", wav->id}, {"file", flags.output}, {"bytes", *bytes}}) + "\n");
}

// ---- diarize

struct DiarizeFlags final : Flags {
  std::string file, model, format = "text";
  uint32_t speakers = 0;
  std::optional<double> threshold;
};

std::string turns_text(const std::vector<SpeakerTurn>& turns) {
  std::string out;
  for (const SpeakerTurn& turn : turns) {
    const auto seconds = [](Millis time) { return static_cast<double>(time.count()) / 1000; };
    out += fmt::format("{:9.2f} {:9.2f}  {}\n", seconds(turn.start), seconds(turn.end),
                       speaker_name(turn.speaker));
  }
  return out;
}

Result<void> diarize(const CliContext& context, const DiarizeFlags& flags) {
  const Result<FileInfo> info = context.os.stat(flags.file);
  if (!info) return fail(info.error());
  nlohmann::json params = nlohmann::json::object();
  if (!flags.model.empty()) params["model"] = flags.model;
  if (flags.speakers > 0) params["speakers"] = flags.speakers;
  if (flags.threshold) params["threshold"] = *flags.threshold;
  Result<DaemonLink> link = context.open_link();
  if (!link) return fail(link.error());
  Result<JobResult> result =
      run_order(*link, {"diarize", params.dump(), {absolute_path(flags.file)}, 0, {}});
  if (!result) return fail(result.error());
  if (flags.format == "json") return print(result->bytes);
  Result<nlohmann::json> page = result_page(*result, "turns");
  if (!page) return fail(page.error());
  Result<std::vector<SpeakerTurn>> turns = parse_turns((*page)["turns"]);
  if (!turns) return fail(turns.error());
  if (flags.format == "rttm") return print(rttm(*turns, base_name(flags.file)));
  return print(turns_text(*turns));
}

// ---- talk

struct TalkFlags final : Flags {
  std::string file, output, speech, language, voice_model, voice, system;
  uint32_t tokens_max = 0;
  bool in_turn = false, json = false;
};

std::string talk_text(const nlohmann::json& page) {
  const nlohmann::json& seconds = page["seconds"];
  const auto s = [&seconds](const char* key) { return seconds.value(key, 0.0); };
  return fmt::format(
      "question: {}\nanswer: {}\n"
      "transcript {:.2f} s, first token {:.2f} s, first sound {:.2f} s, all {:.2f} s; the voice "
      "spoke {} the language model\n",
      page.value("question", ""), page.value("answer", ""), s("transcript"), s("first_token"),
      s("first_sound"), s("total"), page.value("together", false) ? "beside" : "after");
}

Result<void> talk(const CliContext& context, const TalkFlags& flags) {
  if (const auto format = sound_format_of(flags.output); !format) return fail(format.error());
  const Result<FileInfo> info = context.os.stat(flags.file);
  if (!info) return fail(info.error());
  nlohmann::json params = nlohmann::json::object();
  for (const auto& [key, value] : {std::pair{"speech", &flags.speech},
                                   {"language", &flags.language},
                                   {"voice_model", &flags.voice_model},
                                   {"voice", &flags.voice},
                                   {"system", &flags.system}}) {
    if (!value->empty()) params[key] = *value;
  }
  if (flags.tokens_max > 0) params["tokens_max"] = flags.tokens_max;
  if (flags.in_turn) params["in_turn"] = true;
  Result<DaemonLink> link = context.open_link();
  if (!link) return fail(link.error());
  Result<JobResult> result =
      run_order(*link, {"talk", dump(params), {absolute_path(flags.file)}, 0, {}});
  if (!result) return fail(result.error());
  Result<nlohmann::json> page = result_page(*result, "seconds");
  if (!page) return fail(page.error());
  const std::optional<std::string> wav = base64_bytes(page->value("wav", ""));
  if (!wav || !(*page)["seconds"].is_object()) {
    return fail(Code::kCorrupt, "the job's result holds no sound");
  }
  if (!flags.output.empty()) {
    const Result<size_t> bytes = write_sound(context, flags.output, *wav);
    if (!bytes) return fail(bytes.error());
  }
  page->erase("wav");
  return print(flags.json ? page->dump(1, ' ', false, nlohmann::json::error_handler_t::replace) +
                                "\n"
                          : talk_text(*page));
}

void add_talk(CLI::App& app, CliContext& context) {
  TalkFlags& flags = context.keep<TalkFlags>();
  CLI::App* command =
      app.add_subcommand("talk", "A spoken question, answered aloud, with the time of each stage");
  command->add_option("file", flags.file, "The question, recorded")->required();
  command->add_option("-o,--output", flags.output,
                      "File for the answer: .wav, .mp3, .flac, .ogg, .opus")
      ->type_name("FILE");
  command->add_option("--speech", flags.speech, "Speech model (default: micro-asr)");
  command->add_option("-m,--model", flags.language, "Language model (default: micro-minutes)");
  command->add_option("--voice-model", flags.voice_model,
                      "Model of kind voice (default: the first one; espeak where none is)");
  command->add_option("--voice", flags.voice, "Voice of that model");
  command->add_option("--system", flags.system, "What the language model is told beforehand");
  command->add_option("-n,--tokens-max", flags.tokens_max, "Longest answer (default: 256)")
      ->check(CLI::Range(1U, 1U << 16));
  command->add_flag("--in-turn", flags.in_turn, "Speak when the whole answer is there");
  command->add_flag("--json", flags.json, "Print question, answer, seconds and steps");
  command->footer("The voice begins with the first whole sentence, beside the language model\n"
                  "where both fit the budget, else after it.\n"
                  "Example:\n  gantry talk question.wav -o answer.wav");
  command->callback([&context, &flags] {
    context.work = [&context, &flags] { return context.finish(talk(context, flags)); };
  });
}

}  // namespace

void add_voice_commands(CLI::App& app, CliContext& context) {
  add_talk(app, context);
  SpeakFlags& say = context.keep<SpeakFlags>();
  CLI::App* command = app.add_subcommand("speak", "Text to speech: a text, a file, or a script");
  command->add_option("text", say.text, "What is said, or a text file")->required();
  command->add_option("-o,--output", say.output,
                      "File: .wav, .mp3, .flac, .ogg, .opus, .pcm; a wav to stdout when absent")
      ->type_name("FILE");
  command->add_option("-m,--model", say.model,
                      "Model of kind voice (default: the first one; espeak where none is)");
  command->add_option("--voice", say.voice, "Voice of the model");
  command->add_option("--speed", say.speed, "0.25 to 4")
      ->check(CLI::Range(kSpeedMin, kSpeedMax));
  command->add_flag("--script", say.script, "Lines of NAME: text, a voice each, up to four");
  command->add_option("--speaker", say.speakers,
                      "NAME=VOICE or NAME=MODEL:VOICE, for a speaker of the script");
  command->add_flag("--json", say.json, "Print job, file and bytes once it is written");
  command->footer("A file whose lines all begin with NAME: is a script.\n"
                  "Examples:\n  gantry speak 'Hello.' -o hello.mp3\n"
                  "  gantry speak talk.txt --voice en-gb | aplay\n"
                  "  gantry speak script.txt --speaker anna=en-us+f3 -o scene.wav");
  command->callback([&context, &say] {
    context.work = [&context, &say] { return context.finish(speak(context, say)); };
  });

  DiarizeFlags& who = context.keep<DiarizeFlags>();
  command = app.add_subcommand("diarize", "Who spoke when in a recording");
  command->add_option("file", who.file, "The recording")->required();
  command->add_option("-m,--model", who.model,
                      "Model of kind diarization (default: the first configured one, or speakers)");
  auto* speakers = command->add_option("--speakers", who.speakers,
                                       "How many there are; 0: find out how many")
                       ->check(CLI::Range(0U, kSpeakersMax));
  command->add_option("--threshold", who.threshold, "Distance between two speakers, 0 to 2")
      ->check(CLI::Range(0.0, kSpeakerThresholdMax))
      ->excludes(speakers);
  command->add_option("--format", who.format, "text, rttm or json")
      ->check(CLI::IsMember({"text", "rttm", "json"}))
      ->capture_default_str();
  command->footer("Example:\n  gantry diarize meeting.m4a --speakers 2 --format rttm");
  command->callback([&context, &who] {
    context.work = [&context, &who] { return context.finish(diarize(context, who)); };
  });
}

}  // namespace gantry
