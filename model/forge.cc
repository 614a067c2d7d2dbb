// Right model files, small.
#include "model/forge.h"

namespace gantry {

GgufForge forge_language(const std::string& architecture, uint32_t type, uint32_t layers) {
  GgufForge forge;
  forge.set("general.architecture", std::string_view(architecture));
  forge.set("general.name", std::string_view("forged"));
  forge.set(architecture + ".block_count", layers);
  forge.set(architecture + ".embedding_length", 64);
  forge.set(architecture + ".context_length", 512);
  forge.set(architecture + ".feed_forward_length", 128);
  forge.set(architecture + ".attention.head_count", 4);
  forge.set(architecture + ".attention.head_count_kv", 2);
  forge.strings("tokenizer.ggml.tokens", std::vector<std::string>(32, "t"));
  forge.tensor("token_embd.weight", {64, 32}, type);
  for (uint32_t i = 0; i < layers; ++i) {
    const std::string block = "blk." + std::to_string(i) + ".";
    forge.tensor(block + "attn_norm.weight", {64});
    forge.tensor(block + "attn_q.weight", {64, 64}, type);
    forge.tensor(block + "attn_k.weight", {64, 32}, type);
    forge.tensor(block + "attn_v.weight", {64, 32}, type);
    forge.tensor(block + "ffn_up.weight", {64, 128}, type);
  }
  forge.tensor("output_norm.weight", {64});
  return forge;
}

GgufForge forge_projector() {
  GgufForge forge;
  forge.set("general.architecture", std::string_view("clip"));
  forge.set("general.type", std::string_view("mmproj"));
  forge.set("clip.has_vision_encoder", GgufType::kBool, uint8_t{1});
  forge.set("clip.vision.block_count", 2);
  forge.set("clip.vision.embedding_length", 32);
  forge.set("clip.vision.feed_forward_length", 64);
  forge.set("clip.vision.attention.head_count", 2);
  forge.set("clip.vision.image_size", 28);
  forge.set("clip.vision.patch_size", 14);
  forge.tensor("v.patch_embd.weight", {14, 14, 3, 32}, 1);
  forge.tensor("v.blk.0.attn_q.weight", {32, 32}, 1);
  forge.tensor("v.blk.1.attn_q.weight", {32, 32}, 1);
  forge.tensor("mm.0.weight", {32, 64}, 1);
  return forge;
}

}  // namespace gantry
