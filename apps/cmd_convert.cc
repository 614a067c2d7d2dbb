// convert: models made ready for OpenVINO, in gantry-worker, which may open model bytes.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "apps/context.h"
#include "apps/convert_folder.h"
#include "apps/paths.h"
#include "worker/speech_protocol.h"

namespace gantry {

namespace {

struct ConvertFlags final : Flags {
  std::string file, out;
  FolderOrder folder;
};

constexpr const char* kExamples =
    "Examples:\n"
    "  gantry convert whisper ggml-base.en.bin\n"
    "      makes ggml-base.en-encoder-openvino.xml and .bin beside it, where speech workers and\n"
    "      whisper.cpp look for them\n"
    "  gantry convert whisper ggml-base.en.bin -o /srv/models/base.xml --json\n"
    "  gantry convert bge-small-en-v1.5\n"
    "      makes bge-small-en-v1.5-openvino from the folder's ONNX file or from its weights\n"
    "      (BERT, RoBERTa, XLM-RoBERTa, CamemBERT, DistilBERT, MPNet), for gantry npu-worker\n"
    "  gantry convert model.onnx --weights int4 -o /srv/models/small\n"
    "Nothing is left behind unless the result does what the original does.\n";

Result<nlohmann::json> ask_worker(const CliContext& context, const ConvertFlags& flags) {
  ProcessSpec spec;
  spec.argv = {sibling_program(context.os, "gantry-worker"), "convert", "whisper",
               absolute_path(flags.file)};
  if (!flags.out.empty()) spec.argv.insert(spec.argv.end(), {"-o", absolute_path(flags.out)});
  spec.pipe_io = true;
  const auto process = context.os.spawn(spec);
  if (!process) return fail(process.error());
  constexpr Millis kSlice{100};  // how soon an interrupt is noticed
  for (;;) {
    if (context.interrupt.flag()) return fail(Code::kCancelled, "cancelled");
    const Result<std::string> line = (*process)->read_line(kSlice, kSpeechLineMax);
    if (!line && line.error().code == Code::kTimeout) continue;
    if (!line) return fail(Code::kWorkerFailed, "gantry-worker ended while it converted");
    if (const Result<SpeechAnswer> answer = parse_speech_answer(*line)) {
      if (const auto* error = std::get_if<Error>(&*answer)) return fail(*error);
    }
    nlohmann::json report = nlohmann::json::parse(*line, nullptr, false);
    if (report.is_object() && report.contains("out")) return report;
    return fail(Code::kWorkerFailed, "gantry-worker said what is no report");
  }
}

Result<void> convert(const CliContext& context, const ConvertFlags& flags) {
  const Result<nlohmann::json> report = ask_worker(context, flags);
  if (!report) return fail(report.error());
  if (context.json) return print(report->dump(2) + "\n");
  return print(fmt::format(
      "{}\n{} in {:.1f} s; the decoder's logits differ from those with ggml's encoder by {:.2g} at "
      "most,\n{:.2f} % of what the encoder contributes; {} of {} likeliest tokens are the same\n",
      report->value("out", ""), format_bytes(Bytes{report->value("bytes", uint64_t{0})}),
      report->value("seconds", 0.0), report->value("largest_difference", 0.0),
      100 * report->value("share", 0.0), report->value("same_choices", 0U),
      report->value("choices", 0U)));
}

Result<void> convert_model(const CliContext& context, const FolderOrder& given) {
  if (given.source.empty()) {
    return fail(Code::kUsage, "no model to convert", "name a folder or an ONNX file");
  }
  const Result<FolderOrder> order = complete(context.os, given);
  if (!order) return fail(order.error());
  const Result<nlohmann::json> report = convert_folder(
      context.os, *order, [&] { return context.interrupt.flag().load(); },
      [](const std::string& step) { std::fprintf(stderr, "%s\n", step.c_str()); });
  if (!report) return fail(report.error());
  if (context.json) return print(report->dump(2) + "\n");
  return print(fmt::format(
      "{}\n{}, {} of weights in {:.1f} s; compared with the original on {} vectors: the least "
      "cosine is {:.5f},\nthe largest difference {:.2g}\n",
      report->value("out", ""), report->value("weights", ""),
      format_bytes(Bytes{report->value("bytes", uint64_t{0})}), report->value("seconds", 0.0),
      report->value("vectors", 0U), report->value("cosine", 0.0),
      report->value("largest_difference", 0.0)));
}

}  // namespace

void add_convert(CLI::App& app, CliContext& context) {
  CLI::App* convert_command = app.add_subcommand("convert", "Make a model ready for OpenVINO");
  convert_command->require_subcommand(0, 1);
  convert_command->footer(kExamples);
  ConvertFlags& flags = context.keep<ConvertFlags>();
  FolderOrder& folder = flags.folder;
  convert_command->add_option("MODEL", folder.source,
                              "A folder with an ONNX file or a sentence encoder's weights, or "
                              "the file");
  convert_command->add_option("-o,--out", folder.out, "The folder to make (MODEL-openvino)");
  convert_command->add_option("--weights", folder.weights, "auto: int8 where it loses little")
      ->check(CLI::IsMember({"auto", "f32", "f16", "int8", "int4"}))
      ->capture_default_str();
  convert_command->add_option("--cache-dir", folder.cache,
                              "Python packages, fetched once (~/.cache/gantry/convert)");
  convert_command->add_flag("--replace", folder.replace, "Take the place of what is there");
  convert_command->add_flag("--json", context.json, "Machine-readable");
  CLI::App* whisper = convert_command->add_subcommand(
      "whisper", "The encoder of a whisper model, for an NPU, a GPU or the CPU");
  whisper->footer(kExamples);
  whisper->add_option("FILE", flags.file, "whisper.cpp's ggml file")->required();
  whisper->add_option("-o,--out", flags.out, "The .xml to make; its .bin lies beside it");
  whisper->add_flag("--json", context.json, "Machine-readable");
  convert_command->callback([&context, &folder] {
    if (context.work) return;  // the subcommand's
    context.work = [&context, &folder] {
      return context.finish(convert_model(context, folder));
    };
  });
  whisper->callback([&context, &flags] {
    context.work = [&context, &flags] { return context.finish(convert(context, flags)); };
  });
}

}  // namespace gantry
