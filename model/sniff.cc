// Magic numbers of what people mistake for a model file.
#include "model/sniff.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <string>

#include "model/text.h"

namespace gantry {

namespace {

using namespace std::string_view_literals;

constexpr size_t kLookedAt = 512;
constexpr std::string_view kConvert = "convert it to GGUF first, see convert_hf_to_gguf.py";
constexpr std::string_view kUnpack = "unpack it and name the .gguf or .bin file inside";
constexpr std::string_view kFetch = "fetch the file itself, not the page that describes it";
constexpr std::string_view kName = "name a .gguf file or a whisper.cpp .bin file";

struct Magic {
  std::string_view bytes;
  size_t at;
  Lookalike is;
};

constexpr std::array kMagics = std::to_array<Magic>({
    {"version https://git-lfs.github.com/"sv, 0,
     {"a git-lfs pointer, not the file itself", "fetch the content: git lfs pull"}},
    {"PK\x03\x04"sv, 0, {"a zip archive, perhaps a PyTorch checkpoint", kConvert}},
    {"PK\x05\x06"sv, 0, {"an empty zip archive", kName}},
    {"\x1F\x8B"sv, 0, {"gzip-compressed", kUnpack}},
    {"BZh"sv, 0, {"bzip2-compressed", kUnpack}},
    {"\xFD" "7zXZ"sv, 0, {"xz-compressed", kUnpack}},
    {"\x28\xB5\x2F\xFD"sv, 0, {"zstd-compressed", kUnpack}},
    {"7z\xBC\xAF\x27\x1C"sv, 0, {"a 7-zip archive", kUnpack}},
    {"Rar!"sv, 0, {"a RAR archive", kUnpack}},
    {"ustar"sv, 257, {"a tar archive", kUnpack}},
    {"ggla"sv, 0, {"a LoRA adapter of the old ggml kind", kName}},
    {"algg"sv, 0, {"a LoRA adapter of the old ggml kind", kName}},
    {"fmgg"sv, 0, {"a ggml file from before GGUF", kConvert}},
    {"tjgg"sv, 0, {"a ggml file from before GGUF", kConvert}},
    {"FUGG"sv, 0, {"a GGUF file with its bytes swapped", "convert it for this machine"}},
    {"\x80\x02"sv, 0, {"a Python pickle, perhaps a PyTorch checkpoint", kConvert}},
    {"\x80\x04"sv, 0, {"a Python pickle", kConvert}},
    {"\x89HDF\r\n"sv, 0, {"an HDF5 file, perhaps a Keras checkpoint", kConvert}},
    {"TFL3"sv, 4, {"a TensorFlow Lite model", kName}},
    {"\x93NUMPY"sv, 0, {"a NumPy array", kConvert}},
    {"SQLite format 3"sv, 0, {"an SQLite database", kName}},
    {"\x7F" "ELF"sv, 0, {"a program", kName}},
    {"MZ"sv, 0, {"a Windows program", kName}},
    {"%PDF"sv, 0, {"a PDF document", kName}},
    {"\x89PNG"sv, 0, {"a PNG picture", kName}},
    {"\xFF\xD8\xFF"sv, 0, {"a JPEG picture", kName}},
    {"RIFF"sv, 0, {"a RIFF file, perhaps a recording", kName}},
    {"ID3"sv, 0, {"an MP3 recording", kName}},
    {"OggS"sv, 0, {"an Ogg recording", kName}},
    {"fLaC"sv, 0, {"a FLAC recording", kName}},
    {"ftyp"sv, 4, {"an MP4 recording", kName}},
});

bool begins_html(std::string_view head) {
  std::string lower;
  for (char c : head.substr(0, 128)) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isspace(byte) == 0) lower += static_cast<char>(std::tolower(byte));
  }
  return lower.starts_with("<!doctypehtml") || lower.starts_with("<html") ||
         lower.starts_with("<head");
}

// ONNX: a protobuf that begins with its version (field 1) and its producer (field 2).
bool begins_onnx(std::string_view head) {
  return head.size() > 3 && head[0] == 0x08 && head[1] > 0 && head[1] < 32 &&
         (head[2] == 0x12 || head[2] == 0x3A);
}

// safetensors: u64 length of a JSON header, which begins with '{'.
bool begins_safetensors(std::string_view head) {
  return head.size() > 9 && head[8] == '{' && head.substr(5, 3) == "\0\0\0"sv;
}

bool is_mostly_text(std::string_view head) {
  const auto odd = std::count_if(head.begin(), head.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte == 0x7F || (byte < 0x20 && byte != '\n' && byte != '\r' && byte != '\t');
  });
  return odd == 0;
}

}  // namespace

Lookalike look_at(std::span<const std::byte> file) {
  if (file.empty()) return {"empty", "fetch it again"};
  const std::string_view head(reinterpret_cast<const char*>(file.data()),
                              std::min(file.size(), kLookedAt));
  for (const Magic& magic : kMagics) {
    if (head.size() > magic.at && head.substr(magic.at).starts_with(magic.bytes)) return magic.is;
  }
  if (begins_safetensors(head)) return {"a safetensors file", kConvert};
  if (begins_html(head)) return {"a web page", kFetch};
  if (begins_onnx(head)) return {"perhaps an ONNX model", kName};
  if (head.starts_with("<?xml")) return {"an XML text, perhaps an OpenVINO model", kName};
  if (head[0] == '{' || head[0] == '[') return {"a JSON text", kFetch};
  if (is_mostly_text(head)) return {"plain text", kFetch};
  const bool zeros = std::all_of(head.begin(), head.end(), [](char c) { return c == '\0'; });
  if (zeros) return {"all zeros at its start", "a download was cut short: fetch it again"};
  return {"of a kind that is not known", kName};
}

}  // namespace gantry
