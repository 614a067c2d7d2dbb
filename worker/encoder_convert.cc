// Reads tensors with our own parser and ggml's dequantisation, has the library of encoders write
// the graph, and believes the result when the decoder does.
#include "worker/encoder_convert.h"

#include <fmt/format.h>
#include <ggml.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "model/whisper.h"
#include "worker/encoder_agreement.h"
#include "worker/encoder_library.h"
#include "worker/speech_protocol.h"
#include "worker/whisper_context.h"

namespace gantry {

namespace {

constexpr const char* kEnding = ".xml";

// Tensors of a checked file by name, as floats.
class Tensors {
 public:
  Tensors(const WhisperFile& file, std::span<const std::byte> bytes) : bytes_(bytes) {
    for (const WhisperTensor& tensor : file.tensors) by_name_.emplace(tensor.name, &tensor);
  }

  static bool read(void* self, const char* name, float* out, uint64_t elements) {
    return static_cast<Tensors*>(self)->read(name, out, elements);
  }

 private:
  bool read(const char* name, float* out, uint64_t elements) const {
    const auto found = by_name_.find(name);
    if (found == by_name_.end() || found->second->elements != elements) return false;
    const WhisperTensor& tensor = *found->second;
    const std::byte* data = bytes_.data() + tensor.at;
    if (tensor.type == GGML_TYPE_F32) {
      std::memcpy(out, data, elements * sizeof(float));
      return true;
    }
    const ggml_type_traits* traits = ggml_get_type_traits(static_cast<ggml_type>(tensor.type));
    if (traits == nullptr || traits->to_float == nullptr) return false;
    // The data of a tensor begins anywhere in the file; rows are what the conversion takes.
    const uint64_t row = tensor.shape[0], rows = elements / row;
    const uint64_t size = tensor.bytes / rows;
    std::vector<std::byte> aligned(size);
    for (uint64_t i = 0; i < rows; ++i) {
      std::memcpy(aligned.data(), data + i * size, size);
      traits->to_float(aligned.data(), out + i * row, static_cast<int64_t>(row));
    }
    return true;
  }

  const std::span<const std::byte> bytes_;
  std::unordered_map<std::string_view, const WhisperTensor*> by_name_;
};

std::string without(const std::string& text, std::string_view ending) {
  return text.ends_with(ending) ? text.substr(0, text.size() - ending.size()) : text;
}

std::string weights_of(const std::string& xml) { return without(xml, kEnding) + ".bin"; }

// Whether its matrices are plain floats.
Result<bool> write_graph(Os& os, const ConvertOptions& options, const EncoderLibrary& library,
                         const std::string& xml) {
  const Result<std::unique_ptr<MappedFile>> mapped = os.map_file(options.model);
  if (!mapped) return fail(mapped.error());
  const std::span<const std::byte> bytes = (*mapped)->bytes();
  const Result<WhisperFile> file = read_whisper(bytes);
  if (!file) return fail(file.error());
  const WhisperShape& s = file->shape;
  if (s.audio_heads == 0 || s.audio_state % s.audio_heads != 0) {
    return fail(Code::kCorrupt, fmt::format("n_audio_state is {}, no multiple of n_audio_head {}",
                                            s.audio_state, s.audio_heads));
  }
  Tensors tensors(*file, bytes);
  const EncoderModel model{s.mels,         s.audio_context, s.audio_state, s.audio_heads,
                           s.audio_layers, &tensors,        &Tensors::read};
  if (Result<void> made = library.convert(model, xml); !made) return fail(made.error());
  return file->weight_type == GGML_TYPE_F32 || file->weight_type == GGML_TYPE_F16;
}

// The old pair goes first: a new graph with old weights would be worse than none.
Result<void> put_in_place(Os& os, const std::string& from, const std::string& to) {
  if (os.stat(to)) {
    if (Result<void> gone = os.remove(to); !gone) return gone;
  }
  if (Result<void> moved = os.move_file(weights_of(from), weights_of(to)); !moved) return moved;
  return os.move_file(from, to);
}

// A folder beside the result, gone with everything in it however this ends.
class Aside {
 public:
  Aside(Os& os, const std::string& out)
      : os_(os), path_(fmt::format("{}.{}.tmp", out, ::getpid())) {}
  ~Aside() { static_cast<void>(os_.remove(path_)); }
  Aside(const Aside&) = delete;
  Aside& operator=(const Aside&) = delete;
  [[nodiscard]] Result<void> make() { return os_.make_dirs(path_, 0700); }
  std::string xml() const { return join_path(path_, "encoder.xml"); }

 private:
  Os& os_;
  const std::string path_;
};

Result<EncoderAgreement> check(const ConvertOptions& options, const EncoderLibrary& library,
                               const std::string& xml, bool plain) {
  const Result<WhisperContext> context = open_whisper(options.model, options.engine_dir, {});
  if (!context) return fail(context.error());
  const auto encoder = library.open(xml, "CPU", {}, static_cast<uint32_t>(options.threads));
  if (!encoder) return fail(encoder.error());
  Result<EncoderAgreement> agreement =
      compare_encoders(context->get(), encoder->get(), options.threads);
  if (!agreement) return agreement;
  const double most = plain ? kPlainShareMax : kQuantisedShareMax;
  if (agreement->share > most) {
    return fail(Code::kConflict,
                fmt::format("the converted encoder is {:.1f} % off the model's own (at most "
                            "{:.0f})", 100 * agreement->share, 100 * most),
                "use the model without an OpenVINO encoder, and report the file");
  }
  return agreement;
}

// Well within the time that a worker has to become ready.
constexpr Millis kMakeMax{150'000};

}  // namespace

std::string encoder_beside(const std::string& model) {
  return without(model, ".bin") + "-encoder-openvino" + kEnding;
}

Result<std::string> encoder_kept(Os& os, const std::string& model, const std::string& dir) {
  const Result<FileInfo> info = os.stat(model);
  if (!info) return fail(info.error());
  return join_path(dir, fmt::format("{}-{:x}-{:x}-{:x}{}", without(base_name(model), ".bin"),
                                    info->size.n, info->mtime_ns, info->inode, kEnding));
}

Result<std::string> find_or_make_encoder(Os& os, const ConvertOptions& options,
                                         const std::string& dir, const std::string& worker_exe) {
  const std::string beside = encoder_beside(options.model);
  if (os.stat(beside) && os.stat(weights_of(beside))) return beside;
  if (dir.empty()) {
    return fail(Code::kNotFound, "there is no " + beside,
                "make it with gantry convert whisper " + options.model);
  }
  Result<std::string> kept = encoder_kept(os, options.model, dir);
  if (!kept || (os.stat(*kept) && os.stat(weights_of(*kept)))) return kept;
  if (Result<void> made = os.make_dirs(dir, 0700); !made) return fail(made.error());
  ProcessSpec spec;
  spec.argv = {worker_exe, "--engines", options.engine_dir, "convert", "whisper", options.model,
               "-o", *kept, "--encoder-library", options.library, "--threads",
               std::to_string(options.threads)};
  spec.pipe_io = true;
  const Result<std::unique_ptr<Process>> process = os.spawn(spec);
  if (!process) return fail(process.error());
  const Result<std::string> line = (*process)->read_line(kMakeMax, kSpeechLineMax);
  if (line && line->starts_with("{\"bytes\"")) return kept;
  std::string cause = line ? *line : line.error().message;
  if (const auto answer = line ? parse_speech_answer(*line) : fail(line.error())) {
    if (const auto* error = std::get_if<Error>(&*answer)) cause = error->message;
  }
  return fail(Code::kWorkerFailed, "the encoder cannot be made: " + cause,
              "make it with gantry convert whisper " + options.model);
}

Result<nlohmann::json> convert_whisper(Os& os, const ConvertOptions& options) {
  const RealClock clock;
  const Millis started = clock.steady();
  const std::string out = options.out.empty() ? encoder_beside(options.model) : options.out;
  if (!out.ends_with(kEnding)) {
    return fail(Code::kUsage, out + " does not end in .xml", "for example -o encoder.xml");
  }
  const Result<EncoderLibrary> library = EncoderLibrary::load(options.library);
  if (!library) return fail(library.error());
  Aside aside(os, out);
  if (Result<void> made = aside.make(); !made) return fail(made.error());
  const Result<bool> plain = write_graph(os, options, *library, aside.xml());
  if (!plain) return fail(plain.error());
  const Result<EncoderAgreement> agreement = check(options, *library, aside.xml(), *plain);
  if (!agreement) return fail(agreement.error());
  const Result<FileInfo> graph = os.stat(aside.xml()), weights = os.stat(weights_of(aside.xml()));
  if (!graph) return fail(graph.error());
  if (!weights) return fail(weights.error());
  if (Result<void> placed = put_in_place(os, aside.xml(), out); !placed) {
    return fail(placed.error());
  }
  const auto seconds = static_cast<double>((clock.steady() - started).count()) / 1000;
  return nlohmann::json{{"out", out},
                        {"bytes", (graph->size + weights->size).n},
                        {"compared_on", "CPU"},
                        {"largest_difference", agreement->largest},
                        {"share", agreement->share},
                        {"logits", agreement->logits},
                        {"choices", agreement->choices},
                        {"same_choices", agreement->same},
                        {"seconds", seconds}};
}

}  // namespace gantry
