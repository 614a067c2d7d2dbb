// Faults of the facts in a well-formed GGUF, and files that are no model at all.
#include <fmt/format.h>

#include <array>

#include "model/card.h"
#include "model/faults.h"

namespace gantry {

namespace {

using namespace std::string_view_literals;

struct KeyRow {
  const char* suffix;
  bool needed;
  uint64_t max;
};
constexpr std::array kKeys = std::to_array<KeyRow>({
    {"block_count", true, kLayersMax},
    {"embedding_length", true, kEmbdMax},
    {"context_length", true, kContextMax},
    {"attention.head_count", true, kHeadsMax},
    {"attention.head_count_kv", false, kHeadsMax},
    {"attention.key_length", false, kEmbdMax},
    {"attention.value_length", false, kEmbdMax},
    {"expert_count", false, kHeadsMax},
});

void add_key_faults(Faults& faults) {
  for (const KeyRow& row : kKeys) {
    const std::string key = std::string("llama.") + row.suffix;
    faults.saying(key);
    if (row.needed) {
      faults.language(fmt::format("{}_missing", row.suffix), [&](GgufForge& f) { f.without(key); });
    }
    faults.language(fmt::format("{}_is_a_string", row.suffix),
                    [&](GgufForge& f) { f.set(key, "8"sv); });
    faults.language(fmt::format("{}_is_a_float", row.suffix),
                    [&](GgufForge& f) { f.set(key, GgufType::kF32, 8.0F); });
    faults.language(fmt::format("{}_is_negative", row.suffix),
                    [&](GgufForge& f) { f.set(key, GgufType::kI32, int32_t{-1}); });
    faults.language(fmt::format("{}_is_an_empty_array", row.suffix),
                    [&](GgufForge& f) { f.list<uint32_t>(key, GgufType::kU32, {}); });
    faults.language(fmt::format("{}_is_over_the_limit", row.suffix),
                    [&](GgufForge& f) { f.set(key, GgufType::kU64, row.max + 1); },
                    Code::kTooLarge);
    faults.language(fmt::format("{}_is_2^64-1", row.suffix),
                    [&](GgufForge& f) { f.set(key, GgufType::kU64, UINT64_MAX); },
                    Code::kTooLarge);
  }
  for (const char* suffix : {"block_count", "embedding_length", "context_length"}) {
    faults.saying(std::string("llama.") + suffix + " is 0");
    faults.language(fmt::format("{}_is_0", suffix),
                    [&](GgufForge& f) { f.set(std::string("llama.") + suffix, 0); });
  }
}

void add_architecture_faults(Faults& faults) {
  const std::string key = "general.architecture";
  faults.saying(key);
  faults.language("architecture_missing", [&](GgufForge& f) { f.without(key); });
  faults.language("architecture_is_a_number", [&](GgufForge& f) { f.set(key, 1); });
  faults.language("architecture_is_a_list", [&](GgufForge& f) { f.strings(key, {"llama"}); });
  for (const std::string_view name : {""sv, "LLAMA"sv, "lla ma"sv, "llama\n"sv, "../llama"sv,
                                      "llama\0"sv, "\x1b[31mllama"sv, "ll\xFF"sv}) {
    faults.language("architecture_" + std::to_string(faults.all().size()),
                    [&](GgufForge& f) { f.set(key, name); });
  }
  faults.language("architecture_too_long",
                  [&](GgufForge& f) { f.set(key, std::string_view(std::string(65, 'a'))); });
}

void add_layer_faults(Faults& faults) {
  for (const char* name : {"blk.2.x", "blk.99.x", "blk.511.x", "blk.2147483647.x"}) {
    faults.saying("but block_count is 2");
    faults.language(fmt::format("tensor_of_layer_beyond_the_last_{}", name),
                    [&](GgufForge& f) { f.tensor(name, {4}); });
  }
  faults.saying("head_count");
  faults.language("head_counts_for_one_layer_of_two", [](GgufForge& f) {
    f.list<uint32_t>("llama.attention.head_count", GgufType::kU32, {4});
  });
  faults.language("kv_head_counts_for_one_layer_of_two", [](GgufForge& f) {
    f.list<uint32_t>("llama.attention.head_count_kv", GgufType::kU32, {2});
  });
  faults.language("head_counts_as_strings", [](GgufForge& f) {
    f.strings("llama.attention.head_count", {"4", "4"});
  });
  faults.language("head_counts_negative", [](GgufForge& f) {
    f.list<int32_t>("llama.attention.head_count", GgufType::kI32, {4, -4});
  });
  faults.saying("has 1 entries for 2 layers");
  faults.language("feed_forward_for_one_layer_of_two", [](GgufForge& f) {
    f.list<uint32_t>("llama.feed_forward_length", GgufType::kU32, {4});
  });
  faults.saying("cache elements a token");
  faults.language("cache_width_over_the_limit", [](GgufForge& f) {
    f.set("llama.attention.head_count_kv", kHeadsMax);
    f.set("llama.attention.key_length", kEmbdMax);
  }, Code::kTooLarge);
  faults.saying("5 of 4 experts");
  faults.language("more_experts_used_than_there_are", [](GgufForge& f) {
    f.set("llama.expert_count", 4);
    f.set("llama.expert_used_count", 5);
  });
  faults.saying("nextn_predict_layers");
  faults.language("more_layers_ahead_than_there_are", [](GgufForge& f) {
    f.set("llama.nextn_predict_layers", 3);
  }, Code::kTooLarge);
}

void add_window_faults(Faults& faults) {
  const auto gemma = [&](const std::string& name, const std::function<void(GgufForge&)>& change,
                         Code code = Code::kCorrupt) {
    GgufForge forge = forge_language("gemma3");
    forge.set("gemma3.attention.sliding_window", 128);
    change(forge);
    faults.add(name, forge.bytes(), code);
  };
  const std::string pattern = "gemma3.attention.sliding_window_pattern";
  faults.saying("sliding_window");
  gemma("window_is_a_string",
        [](GgufForge& f) { f.set("gemma3.attention.sliding_window", "1"sv); });
  gemma("window_over_the_limit", [](GgufForge& f) {
    f.set("gemma3.attention.sliding_window", 0xFFFFFFFFU);
  }, Code::kTooLarge);
  gemma("window_pattern_too_short",
        [&](GgufForge& f) { f.list<uint8_t>(pattern, GgufType::kBool, {1}); });
  gemma("window_pattern_of_strings", [&](GgufForge& f) { f.strings(pattern, {"1", "0"}); });
  gemma("window_pattern_of_sevens", [&](GgufForge& f) {
    f.list<uint32_t>(pattern, GgufType::kU32, {7, 7});
  }, Code::kTooLarge);
  GgufForge next = forge_language("qwen3next");
  next.list<uint8_t>("qwen3next.attention.recurrent_layers", GgufType::kBool, {1});
  faults.saying("has 1 entries for 2 layers");
  faults.add("recurrent_layers_too_short", next.bytes());
  GgufForge mamba = forge_language("mamba");
  mamba.set("mamba.ssm.inner_size", kEmbdMax + 1);
  faults.saying("ssm.inner_size");
  faults.add("state_over_the_limit", mamba.bytes(), Code::kTooLarge);
}

void add_kind_faults(Faults& faults) {
  faults.saying("not a model");
  for (const std::string_view kind : {"adapter"sv, "imatrix"sv, "vocab"sv, ""sv, "\x1b"sv}) {
    faults.language(fmt::format("file_of_type_{}", faults.all().size()),
                    [&](GgufForge& f) { f.set("general.type", kind); }, Code::kUnsupported);
  }
  faults.language("file_type_is_a_number", [](GgufForge& f) { f.set("general.type", 1); },
                  Code::kUnsupported);
  faults.saying("one of 3 parts");
  faults.language("one_of_three_parts",
                  [](GgufForge& f) { f.set("split.count", GgufType::kU16, uint16_t{3}); },
                  Code::kUnsupported);
  faults.saying("no tensors");
  faults.language("no_tensors", [](GgufForge& f) { f.tensors.clear(); }, Code::kUnsupported);
  GgufForge empty;
  faults.saying("general.architecture is missing");
  faults.add("no_pairs_and_no_tensors", empty.bytes());
}

void add_projector_faults(Faults& faults) {
  const auto projector = [&](const std::string& name, const std::function<void(GgufForge&)>& change,
                             Code code = Code::kCorrupt) {
    GgufForge forge = forge_projector();
    change(forge);
    faults.add("projector_" + name, forge.bytes(), code);
  };
  const std::string at = "clip.vision.";
  faults.saying("clip.");
  projector("without_blocks", [&](GgufForge& f) { f.without(at + "block_count"); });
  projector("without_embedding", [&](GgufForge& f) { f.without(at + "embedding_length"); });
  projector("of_0_blocks", [&](GgufForge& f) { f.set(at + "block_count", 0); });
  projector("of_10000_blocks", [&](GgufForge& f) { f.set(at + "block_count", 10'000); },
            Code::kTooLarge);
  projector("with_heads_as_text", [&](GgufForge& f) { f.set(at + "attention.head_count", "2"sv); });
  projector("with_image_size_as_text", [&](GgufForge& f) { f.set(at + "image_size", "2"sv); });
  projector("with_patch_size_as_float",
            [&](GgufForge& f) { f.set(at + "patch_size", GgufType::kF32, 14.0F); });
  projector("with_image_size_over_the_limit",
            [&](GgufForge& f) { f.set(at + "image_size", kEmbdMax + 1); }, Code::kTooLarge);
  projector("with_audio_blocks_as_text",
            [](GgufForge& f) { f.set("clip.audio.block_count", "2"sv); });
}

}  // namespace

std::vector<Fault> geometry_faults() {
  Faults faults;
  add_key_faults(faults);
  add_architecture_faults(faults);
  add_layer_faults(faults);
  add_window_faults(faults);
  add_kind_faults(faults);
  add_projector_faults(faults);
  return faults.all();
}

std::vector<Fault> stranger_faults() {
  Faults faults;
  const std::string rest(600, '\x01');
  faults.add("empty_file", "");
  faults.add("one_byte", "G");
  faults.add("three_bytes_of_the_magic", "GGU");
  faults.add("git_lfs_pointer", "version https://git-lfs.github.com/spec/v1\noid sha256:0\n");
  faults.add("html_page", "<!DOCTYPE html>\n<html><body>Sign in</body></html>");
  faults.add("html_page_after_blanks", "\n\n  <HTML>" + rest);
  faults.add("json_text", "{\"error\": \"Repository not found\"}");
  faults.add("xml_text", "<?xml version=\"1.0\"?><net/>");
  faults.add("plain_text", "Entry not found\n");
  faults.add("safetensors", Ink().put<uint64_t>(100).raw("{\"__metadata__\":").raw(rest).out);
  faults.add("zip_of_pytorch", "PK\x03\x04" + rest);
  faults.add("gzip", "\x1F\x8B\x08" + rest);
  faults.add("xz", "\xFD" "7zXZ" + rest);
  faults.add("zstd", "\x28\xB5\x2F\xFD" + rest);
  faults.add("bzip2", "BZh9" + rest);
  faults.add("tar", std::string(257, 'x') + "ustar" + rest);
  faults.add("pickle", "\x80\x02}q" + rest);
  faults.add("numpy", "\x93NUMPY" + rest);
  faults.add("onnx", std::string("\x08\x07\x12\x07pytorch", 11) + rest);
  faults.add("tflite", Ink().put<uint32_t>(28).raw("TFL3").raw(rest).out);
  faults.add("png", "\x89PNG\r\n" + rest);
  faults.add("wav", "RIFF" + rest);
  faults.add("elf", "\x7F" "ELF" + rest);
  faults.add("zeros", std::string(4096, '\0'));
  faults.add("noise", rest);
  faults.add("ggjt", "tjgg" + rest);
  faults.add("swapped_gguf", "FUGG" + rest);
  return faults.all();
}

}  // namespace gantry
