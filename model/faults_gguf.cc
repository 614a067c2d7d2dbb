// Faults of the GGUF container.
#include <fmt/format.h>

#include <array>

#include "model/faults.h"

namespace gantry {

namespace {

constexpr uint64_t kHuge = uint64_t{1} << 63;

void add_header_faults(Faults& faults) {
  for (size_t size = 1; size < 24; ++size) {
    faults.saying(size < 4    ? "not a model file"
                  : size < 16 ? "but the file ends after"
                              : "too many for the");
    faults.add(fmt::format("header_of_{}_bytes", size), forge_language().bytes().substr(0, size));
  }
  faults.saying("not a model file");
  for (const std::string magic : {"gguf", "GGUf", "GGUE", "XGUF", "GGU\1"}) {
    faults.language("magic_" + std::to_string(static_cast<int>(magic[0])) + "_" +
                        std::to_string(static_cast<int>(magic[3])),
                    [&](GgufForge& f) { f.magic = magic; });
  }
  faults.saying("version");
  faults.language("version_0", [](GgufForge& f) { f.version = 0; });
  for (const uint32_t version : {1U, 4U, 5U, 255U, 65535U, 0xFFFFFFFFU}) {
    faults.language(fmt::format("version_{}", version),
                    [&](GgufForge& f) { f.version = version; }, Code::kUnsupported);
  }
  faults.saying("big-endian");
  for (const uint32_t version : {0x01000000U, 0x02000000U, 0x03000000U, 0x00010000U}) {
    faults.language(fmt::format("version_{:#x}_big_endian", version),
                    [&](GgufForge& f) { f.version = version; }, Code::kUnsupported);
  }
}

void add_count_faults(Faults& faults) {
  constexpr std::array<uint64_t, 7> kCounts = {100'000,   uint64_t{1} << 31, uint64_t{1} << 32,
                                               kHuge - 1, kHuge,             kHuge + 1,
                                               UINT64_MAX};
  faults.saying("declares");
  for (const uint64_t count : kCounts) {
    faults.language(fmt::format("pair_count_{}", count),
                    [&](GgufForge& f) { f.pair_count = count; });
    faults.language(fmt::format("tensor_count_{}", count),
                    [&](GgufForge& f) { f.tensor_count = count; });
  }
  faults.saying("");
  faults.language("pair_count_one_less", [](GgufForge& f) { f.pair_count = f.pairs.size() - 1; });
  faults.language("pair_count_one_more", [](GgufForge& f) { f.pair_count = f.pairs.size() + 1; });
  faults.language("pair_count_zero", [](GgufForge& f) { f.pair_count = 0; });
  faults.language("tensor_count_one_more",
                  [](GgufForge& f) { f.tensor_count = f.tensors.size() + 1; });
  const std::string room(2'000'000, '\0');
  faults.saying("declared at offset");
  GgufForge many = forge_language();
  many.pair_count = kGgufPairsMax + 1;
  faults.add("pair_count_over_the_limit", many.bytes() + room, Code::kTooLarge);
  many = forge_language();
  many.tensor_count = kGgufTensorsMax + 1;
  faults.add("tensor_count_over_the_limit", many.bytes() + room, Code::kTooLarge);
}

struct BadName {
  std::string what;
  std::string name;
};

// Names that no terminal should see; the same for keys and tensors.
std::vector<BadName> bad_names() {
  std::vector<BadName> names = {
      {"empty", ""},
      {"lone_continuation", "a\x80"},
      {"lone_lead", "a\xC3"},
      {"overlong_slash", "\xC0\xAF"},
      {"overlong_three", "\xE0\x80\xAF"},
      {"overlong_four", "\xF0\x80\x80\xAF"},
      {"surrogate", "\xED\xA0\x80"},
      {"beyond_unicode", "\xF4\x90\x80\x80"},
      {"five_byte_lead", "\xF8\x88\x80\x80\x80"},
      {"byte_0xff", "a\xFF"},
      {"c1_control", "a\xC2\x9B"},
      {"line_separator", "a\xE2\x80\xA8"},
      {"right_to_left_override", "a\xE2\x80\xAE"},
      {"direction_isolate", "a\xE2\x81\xA6"},
      {"cut_in_a_character", "a\xE2\x82"},
  };
  for (int c = 0; c < 0x20; ++c) {
    names.push_back({fmt::format("character_{:#04x}", c), "a"});
    names.back().name += static_cast<char>(c);
  }
  names.push_back({"character_0x7f", "a\x7F"});
  return names;
}

void add_name_faults(Faults& faults) {
  for (const BadName& bad : bad_names()) {
    faults.saying(bad.name.empty() ? "is empty" : "not clean UTF-8");
    faults.language("key_" + bad.what, [&](GgufForge& f) { f.set(bad.name, 1); });
    faults.language("tensor_name_" + bad.what,
                    [&](GgufForge& f) { f.tensors[0].name = bad.name; });
  }
  faults.saying("length of");
  faults.language("key_too_long", [](GgufForge& f) { f.set(std::string(kGgufKeyMax + 1, 'k'), 1); },
                  Code::kTooLarge);
  faults.saying("name length of tensor");
  for (const size_t size : {size_t{64}, size_t{65}, size_t{1'000}, size_t{100'000}}) {
    faults.language(fmt::format("tensor_name_of_{}_bytes", size),
                    [&](GgufForge& f) { f.tensors[0].name = std::string(size, 't'); },
                    Code::kTooLarge);
  }
  faults.saying("twice");
  faults.language("key_twice", [](GgufForge& f) { f.pairs.push_back(f.pairs[2]); });
  faults.language("key_twice_with_another_value", [](GgufForge& f) {
    f.pairs.emplace_back(f.pairs[0].first, Ink().put<uint32_t>(4).put<uint32_t>(1).out);
  });
  faults.language("tensor_name_twice", [](GgufForge& f) { f.tensors[1].name = f.tensors[0].name; });
  faults.language("tensor_name_twice_far_apart",
                  [](GgufForge& f) { f.tensors.back().name = f.tensors.front().name; });
}

// Lengths that lie: at the end of a file, so that nothing else can be what is refused.
void add_length_faults(Faults& faults) {
  const std::string head = Ink().raw("GGUF").put<uint32_t>(3).put<uint64_t>(0).put<uint64_t>(1).out;
  const std::string filler(16, 'x');
  for (const uint64_t length : {uint64_t{1} << 20, uint64_t{1} << 32, kHuge - 1, kHuge, UINT64_MAX,
                                UINT64_MAX - 7}) {
    const auto with = [&](Ink ink) { return ink.put(length).raw(filler).out; };
    const Ink text = Ink().raw(head).text("k").put<uint32_t>(8);
    const Ink list = Ink().raw(head).text("k").put<uint32_t>(9);
    faults.saying("but the file ends after 16");
    faults.add(fmt::format("key_length_{}", length), with(Ink().raw(head)));
    faults.add(fmt::format("string_length_{}", length), with(text));
    faults.add(fmt::format("u8_array_length_{}", length), with(Ink(list).put<uint32_t>(0)));
    faults.add(fmt::format("u64_array_length_{}", length), with(Ink(list).put<uint32_t>(10)));
    faults.saying("strings, too many for the 16 bytes");
    faults.add(fmt::format("string_array_length_{}", length), with(Ink(list).put<uint32_t>(8)));
    faults.saying("but the file ends after 16");
    faults.add(fmt::format("string_in_array_length_{}", length),
               with(Ink(list).put<uint32_t>(8).put<uint64_t>(1)));
  }
  faults.saying("but the file ends after 4");
  faults.add("string_one_byte_short",
             Ink().raw(head).text("k").put<uint32_t>(8).put<uint64_t>(5).raw("1234").out);
}

void add_type_faults(Faults& faults) {
  faults.saying("the value type of 'x'");
  for (const uint32_t type : {13U, 14U, 255U, 65536U, 0x7FFFFFFFU, 0x80000000U, 0xFFFFFFFFU}) {
    faults.language(fmt::format("value_type_{}", type), [&](GgufForge& f) {
      f.encoded("x", Ink().put(type).put<uint64_t>(0).out);
    });
    faults.language(fmt::format("array_element_type_{}", type), [&](GgufForge& f) {
      f.encoded("x", Ink().put<uint32_t>(9).put(type).put<uint64_t>(1).zeros(8).out);
    });
  }
  faults.saying("array of arrays");
  faults.language("array_of_arrays", [](GgufForge& f) {
    f.encoded("x", Ink().put<uint32_t>(9).put<uint32_t>(9).put<uint64_t>(1).zeros(20).out);
  }, Code::kUnsupported);
  faults.saying("a boolean of 'x'");
  for (const int value : {2, 127, 255}) {
    const auto byte = static_cast<uint8_t>(value);
    faults.language(fmt::format("boolean_{}", value),
                    [&](GgufForge& f) { f.set("x", GgufType::kBool, byte); });
    faults.language(fmt::format("boolean_{}_in_array", value), [&](GgufForge& f) {
      f.list<uint8_t>("x", GgufType::kBool, {0, 1, byte});
    });
  }
  const std::string head = Ink().raw("GGUF").put<uint32_t>(3).put<uint64_t>(0).put<uint64_t>(1)
                               .text("key").out;
  constexpr std::array<size_t, 13> kSizes = {1, 1, 2, 2, 4, 4, 4, 1, 8, 12, 8, 8, 8};
  for (uint32_t type = 0; type < kSizes.size(); ++type) {
    const std::string name(gguf_type_name(static_cast<GgufType>(type)));
    faults.saying("but the file ends after");
    faults.add("value_cut_" + name,
               Ink().raw(head).put(type).zeros(kSizes[type] - 1).out);
    if (type == 9) continue;
    faults.saying(type == 8 ? "too many for the 23 bytes" : "but the file ends after");
    faults.add("array_cut_" + name, Ink().raw(head).put<uint32_t>(9).put(type).put<uint64_t>(3)
                                        .zeros(3 * kSizes[type] - 1).out);
  }
}

void add_alignment_faults(Faults& faults) {
  faults.saying("general.alignment");
  for (const uint32_t value : {0U, 3U, 7U, 24U, 31U, 33U, 48U, 0xFFFFFFFFU}) {
    faults.language(fmt::format("alignment_{}", value),
                    [&](GgufForge& f) { f.set("general.alignment", value); });
  }
  for (const uint32_t value : {kGgufAlignmentMax * 2, 1U << 31}) {
    faults.language(fmt::format("alignment_{}", value),
                    [&](GgufForge& f) { f.set("general.alignment", value); }, Code::kTooLarge);
  }
  faults.language("alignment_as_u64", [](GgufForge& f) {
    f.set("general.alignment", GgufType::kU64, uint64_t{32});
  });
  faults.language("alignment_as_i32", [](GgufForge& f) {
    f.set("general.alignment", GgufType::kI32, int32_t{32});
  });
  faults.language("alignment_as_string",
                  [](GgufForge& f) { f.set("general.alignment", std::string_view("32")); });
  faults.language("alignment_as_array", [](GgufForge& f) {
    f.list<uint32_t>("general.alignment", GgufType::kU32, {32});
  });
  faults.saying("not aligned");
  faults.language("alignment_64_with_data_at_32",
                  [](GgufForge& f) { f.set("general.alignment", 64); f.tensors[1].shape = {8}; });
}

void add_shape_faults(Faults& faults) {
  faults.saying("dimensions (at most 4)");
  for (const uint32_t count : {5U, 6U, 255U, 0x7FFFFFFFU, 0xFFFFFFFFU}) {
    faults.language(fmt::format("dimension_count_{}", count),
                    [&](GgufForge& f) { f.tensors[0].dimensions = count; });
  }
  for (size_t d = 0; d < 4; ++d) {
    faults.saying(fmt::format("dimension {} of tensor", d));
    for (const uint64_t size : {uint64_t{0}, kHuge, UINT64_MAX}) {
      faults.language(fmt::format("dimension_{}_is_{}", d, size), [&](GgufForge& f) {
        f.with_data = size == 0;  // zero is wrong even where all else is right
        f.tensors[0].shape = {1, 1, 1, 1};
        f.tensors[0].shape[d] = size;
      });
    }
    faults.saying("more elements than 2^63");
    faults.language(fmt::format("elements_overflow_at_dimension_{}", d), [&](GgufForge& f) {
      f.with_data = false;
      f.tensors[0].shape = {uint64_t{1} << 32, uint64_t{1} << 32, 1, 1};
      std::swap(f.tensors[0].shape[1], f.tensors[0].shape[d == 0 ? 1 : d]);
    });
  }
  faults.saying("is larger than the file");
  faults.language("bytes_overflow", [](GgufForge& f) {
    f.with_data = false;
    f.tensors[0].shape = {uint64_t{1} << 31, uint64_t{1} << 31};
    f.tensors[0].type = 28;
  });
}

void add_tensor_type_faults(Faults& faults) {
  faults.saying("the type of tensor");
  for (const uint32_t type : {4U, 5U, 31U, 32U, 33U, 36U, 37U, 38U, 43U, 44U, 64U, 255U, 65536U,
                              0x7FFFFFFFU, 0x80000000U, 0xFFFFFFFFU}) {
    faults.language(fmt::format("tensor_type_{}", type),
                    [&](GgufForge& f) { f.tensors[0].type = type; }, Code::kUnsupported);
  }
  faults.saying("no multiple of");
  for (uint32_t type = 0; type < kTensorTypeCount; ++type) {
    const TensorType* known = tensor_type(type);
    if (known == nullptr || known->block == 1) continue;
    const uint64_t block = known->block;
    for (const uint64_t row : {uint64_t{1}, block - 1, block + 1}) {
      faults.language(fmt::format("row_of_{}_in_{}", row, known->name), [&](GgufForge& f) {
        f.tensors[0].shape = {row, block};
        f.tensors[0].type = type;
      });
    }
  }
}

void add_place_faults(Faults& faults) {
  struct Wrong {
    const char* what;
    uint64_t offset;
  };
  constexpr Wrong kWrong[] = {
      {"misaligned_by_one", 4097},     {"misaligned_below", 4095}, {"overlapping", 0},
      {"one_step_early", 4096 - 32},   {"after_a_gap", 4096 + 32}, {"beyond_the_file", 1 << 30},
      {"at_2^63", kHuge},              {"at_the_last_number", UINT64_MAX},
      {"at_the_last_aligned_number", UINT64_MAX - 31}};
  faults.saying("has data offset");
  for (const Wrong& wrong : kWrong) {
    faults.language(fmt::format("second_tensor_{}", wrong.what),
                    [&](GgufForge& f) { f.tensors[1].offset = wrong.offset; });
  }
  faults.language("first_tensor_after_a_gap", [](GgufForge& f) { f.tensors[0].offset = 32; });
  faults.language("tensors_in_another_order", [](GgufForge& f) {
    f.tensors[0].offset = 256;
    f.tensors[1].offset = 0;
  });
  const std::string whole = forge_language().bytes();
  const size_t data = static_cast<size_t>(forge_language().padded(
      forge_language().metadata().size()));
  faults.saying("the file ends at");
  faults.add("data_one_byte_short", whole.substr(0, whole.size() - 1));
  faults.add("data_half", whole.substr(0, data + (whole.size() - data) / 2));
  faults.saying("is larger than the file");
  faults.add("data_missing", whole.substr(0, data));
  faults.add("data_padding_missing", whole.substr(0, forge_language().metadata().size()));
  faults.language("tensor_larger_than_the_file", [](GgufForge& f) {
    f.with_data = false;
    f.tensors[0].shape = {64, uint64_t{1} << 40};
  });
  faults.saying("bytes at offset");
  GgufForge together = forge_language();
  together.with_data = false;
  for (ForgedTensor& tensor : together.tensors) tensor.shape = {256};
  faults.add("tensors_larger_than_the_file_together", together.bytes() + std::string(4096, '\0'));
}

// The file ends where a field begins, and in its middle.
void add_truncations(Faults& faults) {
  faults.saying("");
  const GgufForge forge = forge_language();
  const std::string whole = forge.bytes();
  size_t at = 24;
  for (const auto& [key, value] : forge.pairs) {
    faults.add("cut_before_key_" + key, whole.substr(0, at));
    faults.add("cut_in_key_" + key, whole.substr(0, at + 8 + key.size() / 2));
    faults.add("cut_in_value_of_" + key, whole.substr(0, at + 8 + key.size() + 5));
    at += 8 + key.size() + value.size();
  }
  for (const ForgedTensor& tensor : forge.tensors) {
    faults.add("cut_before_tensor_" + tensor.name, whole.substr(0, at));
    faults.add("cut_in_name_of_tensor_" + tensor.name, whole.substr(0, at + 9));
    at += 8 + tensor.name.size();
    faults.add("cut_before_shape_of_tensor_" + tensor.name, whole.substr(0, at));
    at += 4 + 8 * tensor.shape.size();
    faults.add("cut_before_type_of_tensor_" + tensor.name, whole.substr(0, at));
    faults.add("cut_in_offset_of_tensor_" + tensor.name, whole.substr(0, at + 4 + 7));
    at += 4 + 8;
  }
}

}  // namespace

std::vector<Fault> gguf_faults() {
  Faults faults;
  add_header_faults(faults);
  add_count_faults(faults);
  add_name_faults(faults);
  add_length_faults(faults);
  add_type_faults(faults);
  add_alignment_faults(faults);
  add_shape_faults(faults);
  add_tensor_type_faults(faults);
  add_place_faults(faults);
  add_truncations(faults);
  return faults.all();
}

}  // namespace gantry
