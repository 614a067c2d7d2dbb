// Opens whisper models in libwhisper.
#include "worker/whisper_context.h"

#include <ggml-backend.h>
#include <whisper.h>

#include "base/os.h"
#include "model/card.h"
#include "worker/ggml_backends.h"

namespace gantry {

namespace {

Result<void> check_model(const std::string& path) {
  const std::unique_ptr<Os> os = make_real_os();
  const Result<std::unique_ptr<MappedFile>> file = os->map_file(path);
  if (!file) return fail(file.error());
  const Result<ModelCard> card = read_card((*file)->bytes());
  if (!card) return fail(card.error());
  if (card->format != ModelFormat::kWhisper) {
    return fail(Code::kUnsupported, base_name(path) + " is not a whisper model",
                "use a ggml file of whisper.cpp for speech");
  }
  return {};
}

// As libwhisper counts accelerators. It would take the CPU where there are fewer.
Result<int> device_number(const std::string& name) {
  int number = 0;
  for (size_t i = 0; i < ggml_backend_dev_count(); ++i) {
    ggml_backend_dev_t device = ggml_backend_dev_get(i);
    const auto type = ggml_backend_dev_type(device);
    if (type != GGML_BACKEND_DEVICE_TYPE_GPU && type != GGML_BACKEND_DEVICE_TYPE_IGPU) continue;
    if (name == "auto" || name == ggml_backend_dev_name(device)) return number;
    ++number;
  }
  return fail(Code::kUnavailable, "ggml has no accelerator named " + name,
              "see gantry-worker probe");
}

}  // namespace

void ContextFree::operator()(whisper_context* context) const { whisper_free(context); }
void StateFree::operator()(whisper_state* state) const { whisper_free_state(state); }

Result<WhisperState> make_state(whisper_context* context) {
  WhisperState state(whisper_init_state(context));
  if (state != nullptr) return state;
  return fail(Code::kDoesNotFit, "the speech engine found no memory to work in",
              "set parallel: 1 for this model");
}

Result<WhisperContext> open_whisper(const std::string& model, const std::string& engine_dir,
                                    const std::string& device, OwnState own) {
  if (Result<void> ok = check_model(model); !ok) return fail(ok.error());
  log_engines_to_stderr();
  if (!device.empty()) {
    load_all_backends(engine_dir);
  } else {
    load_cpu_backend(engine_dir);
  }
  if (ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU) == nullptr) {
    return fail(Code::kUnavailable, "no ggml backend in " + engine_dir, "run ./run --setup");
  }
  whisper_context_params params = whisper_context_default_params();
  if (!device.empty()) {
    const Result<int> number = device_number(device);
    if (!number) return fail(number.error());
    params.use_gpu = true;
    params.gpu_device = *number;
  } else {
    params.use_gpu = false;
  }
  auto* const load = own == OwnState::kYes ? whisper_init_from_file_with_params
                                           : whisper_init_from_file_with_params_no_state;
  WhisperContext context(load(model.c_str(), params));
  if (context == nullptr) {
    return fail(Code::kCorrupt, "the speech engine cannot load " + base_name(model),
                "check the file, for example with gantry inspect");
  }
  return context;
}

}  // namespace gantry
