// Right whisper files, small; the list of tensors is written down apart from the parser's.
#include "model/forge_whisper.h"

namespace gantry {

namespace {

void add_attention(WhisperForge& forge, const std::string& at, int32_t state, int32_t type) {
  forge.tensors.push_back({at + "_ln.weight", {state}, 0});
  forge.tensors.push_back({at + "_ln.bias", {state}, 0});
  for (const std::string part : {"query", "key", "value", "out"}) {
    forge.tensors.push_back({at + "." + part + ".weight", {state, state}, type});
    if (part != "key") forge.tensors.push_back({at + "." + part + ".bias", {state}, 0});
  }
}

void add_block(WhisperForge& forge, const std::string& at, int32_t state, int32_t type) {
  forge.tensors.push_back({at + "mlp_ln.weight", {state}, 0});
  forge.tensors.push_back({at + "mlp_ln.bias", {state}, 0});
  forge.tensors.push_back({at + "mlp.0.weight", {state, 4 * state}, type});
  forge.tensors.push_back({at + "mlp.0.bias", {4 * state}, 0});
  forge.tensors.push_back({at + "mlp.2.weight", {4 * state, state}, type});
  forge.tensors.push_back({at + "mlp.2.bias", {state}, 0});
  add_attention(forge, at + "attn", state, type);
}

int32_t ftype_of(int32_t type) {
  constexpr std::array<int32_t, 9> kFtypes = {0, 1, 2002, 2003, 0, 0, 2008, 2009, 2007};
  return kFtypes.at(static_cast<size_t>(type));
}

}  // namespace

ForgedWhisperTensor& WhisperForge::named(const std::string& name) {
  for (ForgedWhisperTensor& tensor : tensors) {
    if (tensor.name == name) return tensor;
  }
  return tensors.front();
}

std::string WhisperForge::bytes(std::vector<size_t>* starts) const {
  Ink ink;
  const auto mark = [&] {
    if (starts != nullptr) starts->push_back(ink.out.size());
  };
  ink.put(magic);
  for (const int32_t number : numbers) {
    mark();
    ink.put(number);
  }
  mark();
  ink.put(filter_mels).put(filter_bins);
  mark();
  if (filter_mels > 0 && filter_bins > 0) {
    ink.zeros(static_cast<uint64_t>(filter_mels) * static_cast<uint64_t>(filter_bins) * 4);
  }
  mark();
  ink.put(token_count.value_or(static_cast<int32_t>(tokens.size())));
  for (size_t i = 0; i < tokens.size(); ++i) {
    mark();
    const auto size = static_cast<uint32_t>(tokens[i].size());
    ink.put(i == 0 ? token_bytes.value_or(size) : size).raw(tokens[i]);
  }
  for (const ForgedWhisperTensor& tensor : tensors) {
    mark();
    ink.put(tensor.dimensions.value_or(static_cast<int32_t>(tensor.shape.size())));
    ink.put(tensor.name_bytes.value_or(static_cast<int32_t>(tensor.name.size())));
    ink.put(tensor.type);
    ForgedTensor sized{tensor.name, {}, static_cast<uint32_t>(tensor.type)};
    for (const int32_t size : tensor.shape) {
      ink.put(size);
      sized.shape.push_back(static_cast<uint64_t>(size > 0 ? size : 0));
    }
    ink.raw(tensor.name);
    mark();
    ink.zeros(GgufForge::data_bytes(sized));
  }
  return ink.out;
}

WhisperForge forge_whisper(int32_t weight_type, int32_t audio_layers, int32_t text_layers) {
  constexpr int32_t kState = 32, kMels = 4, kAudio = 6, kText = 5, kVocab = 8;
  WhisperForge forge;
  forge.numbers = {kVocab, kAudio, kState, 2, audio_layers, kText, kState, 2, text_layers,
                   kMels, ftype_of(weight_type)};
  forge.filter_mels = kMels;
  forge.filter_bins = 3;
  forge.tokens = {"a", "bc", "", "def"};
  const int32_t convolution = weight_type == 0 ? 0 : 1;
  forge.tensors = {
      {"encoder.positional_embedding", {kState, kAudio}, 0},
      {"encoder.conv1.weight", {3, kMels, kState}, convolution},
      {"encoder.conv1.bias", {1, kState}, 0},
      {"encoder.conv2.weight", {3, kState, kState}, convolution},
      {"encoder.conv2.bias", {1, kState}, 0},
      {"encoder.ln_post.weight", {kState}, 0},
      {"encoder.ln_post.bias", {kState}, 0},
      {"decoder.positional_embedding", {kState, kText}, 0},
      {"decoder.token_embedding.weight", {kState, kVocab}, weight_type},
      {"decoder.ln.weight", {kState}, 0},
      {"decoder.ln.bias", {kState}, 0},
  };
  for (int32_t i = 0; i < audio_layers; ++i) {
    add_block(forge, "encoder.blocks." + std::to_string(i) + ".", kState, weight_type);
  }
  for (int32_t i = 0; i < text_layers; ++i) {
    const std::string at = "decoder.blocks." + std::to_string(i) + ".";
    add_block(forge, at, kState, weight_type);
    add_attention(forge, at + "cross_attn", kState, weight_type);
  }
  return forge;
}

}  // namespace gantry
