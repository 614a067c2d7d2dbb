// Faults of whisper files.
#include <fmt/format.h>

#include "model/faults.h"

namespace gantry {

namespace {

void add_number_faults(Faults& faults) {
  for (size_t i = 0; i < kFtypeNumber; ++i) {
    const char* name = kWhisperNumberNames[i];
    faults.saying(std::string(name) + " at offset");
    for (const int32_t value : {0, -1, INT32_MIN}) {
      faults.whisper(fmt::format("{}_is_{}", name, value),
                     [&](WhisperForge& f) { f.numbers[i] = value; });
    }
    faults.whisper(fmt::format("{}_is_{}", name, INT32_MAX),
                   [&](WhisperForge& f) { f.numbers[i] = INT32_MAX; }, Code::kTooLarge);
  }
  faults.saying("");
  // One more than the tensors in the file were made for.
  for (const size_t i : {kVocabNumber, kAudioContextNumber, kAudioLayersNumber, kTextContextNumber,
                         kTextLayersNumber, kMelsNumber}) {
    faults.whisper(fmt::format("{}_one_more_than_stored", kWhisperNumberNames[i]),
                   [&](WhisperForge& f) { ++f.numbers[i]; });
  }
  faults.whisper("states_differ", [](WhisperForge& f) { f.numbers[kTextStateNumber] = 64; },
                 Code::kUnsupported);
  for (const size_t i : {kAudioHeadsNumber, kTextHeadsNumber}) {
    faults.whisper(fmt::format("{}_does_not_divide_the_state", kWhisperNumberNames[i]),
                   [&](WhisperForge& f) { f.numbers[i] = 3; });
  }
  faults.saying("ftype");
  for (const int32_t ftype : {-1, 4, 5, 6, 29, 999, 1008, 2004, 2029, 3008, 8, INT32_MAX}) {
    faults.whisper(fmt::format("ftype_{}", ftype),
                   [&](WhisperForge& f) { f.numbers[kFtypeNumber] = ftype; }, Code::kUnsupported);
  }
}

void add_front_faults(Faults& faults) {
  faults.saying(" count at offset ");
  for (const int32_t value : {0, -1, INT32_MIN}) {
    faults.whisper(fmt::format("filter_mels_{}", value),
                   [&](WhisperForge& f) { f.filter_mels = value; });
    faults.whisper(fmt::format("token_count_{}", value),
                   [&](WhisperForge& f) { f.token_count = value; });
  }
  faults.whisper("filter_mels_over_the_limit",
                 [](WhisperForge& f) { f.filter_mels = 100'000; f.filter_bins = 0; },
                 Code::kTooLarge);
  faults.saying("the filters' bins at offset");
  for (const int32_t value : {0, -1, INT32_MIN}) {
    faults.whisper(fmt::format("filter_bins_{}", value),
                   [&](WhisperForge& f) { f.filter_bins = value; });
  }
  faults.saying("for 5 mels");
  faults.whisper("filter_mels_unlike_n_mels", [](WhisperForge& f) { f.filter_mels = 5; });
  faults.saying("the token count at offset");
  faults.whisper("token_count_over_n_vocab", [](WhisperForge& f) { f.token_count = 9; });
  faults.whisper("token_count_over_the_limit", [](WhisperForge& f) { f.token_count = 1 << 21; },
                 Code::kTooLarge);
  faults.saying("token #0");
  for (const uint32_t length : {1'000'000U, 0x7FFFFFFFU, 0x80000000U, 0xFFFFFFFFU}) {
    faults.whisper(fmt::format("token_of_{}_bytes", length),
                   [&](WhisperForge& f) { f.token_bytes = length; });
  }
  faults.whisper("token_over_the_limit",
                 [](WhisperForge& f) { f.tokens[0] = std::string(1025, 'x'); },
                 Code::kTooLarge);
}

void add_tensor_faults(Faults& faults) {
  const auto tensor = [&](const std::string& what,
                          const std::function<void(ForgedWhisperTensor&)>& change) {
    for (const char* name : {"encoder.conv1.weight", "decoder.blocks.0.attn.key.weight"}) {
      faults.whisper(fmt::format("{}_{}", name, what),
                     [&](WhisperForge& f) { change(f.named(name)); });
    }
  };
  faults.saying("dimensions (1 to 3)");
  for (const int32_t count : {0, 4, -1, INT32_MAX, INT32_MIN}) {
    tensor(fmt::format("with_{}_dimensions", count),
           [&](ForgedWhisperTensor& t) { t.dimensions = count; });
  }
  faults.saying("the name of tensor #");
  for (const int32_t size : {0, 128, -1, INT32_MAX, INT32_MIN}) {
    tensor(fmt::format("with_a_name_of_{}_bytes", size),
           [&](ForgedWhisperTensor& t) { t.name_bytes = size; });
  }
  faults.saying("is of type");
  for (const int32_t type : {0, 2, 4, 8, 30, 43, -1, INT32_MAX}) {
    tensor(fmt::format("of_type_{}", type), [&](ForgedWhisperTensor& t) { t.type = type; });
  }
  faults.saying("dimension 0 of tensor #");
  for (const int32_t size : {0, -1, INT32_MIN}) {
    tensor(fmt::format("with_rows_of_{}", size),
           [&](ForgedWhisperTensor& t) { t.shape[0] = size; });
  }
  faults.saying("(expected ");
  tensor("one_column_wider", [](ForgedWhisperTensor& t) { ++t.shape[0]; });
  tensor("one_row_longer", [](ForgedWhisperTensor& t) { ++t.shape[1]; });
  tensor("transposed", [](ForgedWhisperTensor& t) { t.shape = {32, 16, 2}; });
  faults.saying("which this model does not have");
  for (const char* name : {"encoder.conv3.weight", "model.x", "encoder.",
                           "encoder.blocks.1.mlp.0.bias",
                           "encoder.blocks.0.cross_attn.key.weight", "decoder.blocks.00.mlp.0.bias",
                           "decoder.blocks.-1.mlp.0.bias", "decoder.blocks.4294967296.mlp.0.bias",
                           "decoder.blocks.0mlp.0.bias", "decoder.blocks.0", "\x1b[31m"}) {
    tensor(fmt::format("called_{}", faults.all().size()),
           [&](ForgedWhisperTensor& t) { t.name = name; });
  }
  faults.saying("is there twice");
  faults.whisper("whisper_tensor_twice",
                 [](WhisperForge& f) { f.tensors.push_back(f.tensors[3]); });
  faults.saying(" tensors");
  faults.whisper("tensor_missing_first",
                 [](WhisperForge& f) { f.tensors.erase(f.tensors.begin()); });
  faults.whisper("tensor_missing_last", [](WhisperForge& f) { f.tensors.pop_back(); });
  faults.whisper("whisper_without_tensors", [](WhisperForge& f) { f.tensors.clear(); });
  faults.saying("is of type");
  faults.whisper("quantised_convolution",
                 [](WhisperForge& f) { f.named("encoder.conv2.weight").type = 2; });
}

}  // namespace

std::vector<Fault> whisper_faults() {
  Faults faults;
  add_number_faults(faults);
  add_front_faults(faults);
  add_tensor_faults(faults);
  faults.saying("the file ends");
  std::vector<size_t> starts;
  const std::string whole = forge_whisper().bytes(&starts);
  for (size_t i = 0; i < starts.size(); ++i) {
    faults.add(fmt::format("whisper_cut_at_part_{}", i), whole.substr(0, starts[i]));
    faults.add(fmt::format("whisper_cut_in_part_{}", i), whole.substr(0, starts[i] + 2));
  }
  faults.add("whisper_one_byte_short", whole.substr(0, whole.size() - 1));
  faults.saying("but the file ends after 1");
  faults.add("whisper_one_byte_more", whole + '\0');
  return faults.all();
}

}  // namespace gantry
