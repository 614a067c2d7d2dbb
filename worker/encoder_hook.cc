// The three functions that libwhisper leaves undefined (deps/recipes/whisper.cpp.sh).
#include "worker/encoder_hook.h"

#include <fmt/format.h>
#include <ggml-backend.h>
#include <whisper.h>

#include <charconv>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

struct whisper_openvino_context;  // libwhisper keeps a pointer to one: the hook

namespace gantry {

namespace {

// libwhisper hands on a path and no pointer: the hook's address stands in the path's place.
std::string address_of(EncoderHook* hook) {
  return fmt::format("{}", reinterpret_cast<uintptr_t>(hook));
}

}  // namespace

// libwhisper answers 1 for a null hook, and has forgotten the one before.
void hook_encoder(whisper_context* context, EncoderHook* hook) {
  whisper_ctx_init_openvino_encoder(context, address_of(hook).c_str(), "", "");
}

void hook_encoder(whisper_context* context, whisper_state* state, EncoderHook* hook) {
  whisper_ctx_init_openvino_encoder_with_state(context, state, address_of(hook).c_str(), "", "");
}

namespace {

void encode(EncoderHook& hook, const ggml_tensor& mel, ggml_tensor* out) {
  // Through the backend: with a ggml accelerator these tensors are in its memory.
  std::vector<float> in(static_cast<size_t>(ggml_nelements(&mel)));
  std::vector<float> states(static_cast<size_t>(ggml_nelements(out)));
  ggml_backend_tensor_get(&mel, in.data(), 0, in.size() * sizeof(float));
  hook.encode(in, static_cast<uint32_t>(mel.ne[1]), static_cast<uint32_t>(mel.ne[0]), states,
              static_cast<uint32_t>(out->ne[0]));
  ggml_backend_tensor_set(out, states.data(), 0, states.size() * sizeof(float));
}

}  // namespace

}  // namespace gantry

extern "C" {

whisper_openvino_context* whisper_openvino_init(const char* path, const char*, const char*) {
  uintptr_t address = 0;
  std::from_chars(path, path + std::strlen(path), address);
  return reinterpret_cast<whisper_openvino_context*>(address);
}

void whisper_openvino_free(whisper_openvino_context*) {}  // whoever hooked it owns it

int whisper_openvino_encode(whisper_openvino_context* context, ggml_tensor* mel,
                            ggml_tensor* out) {
  gantry::encode(*reinterpret_cast<gantry::EncoderHook*>(context), *mel, out);
  return 1;
}

}  // extern "C"
