// Cards from shapes: every tensor that the file would have, with the type that llama-quantize
// gives it.
#pragma once

#include "model/catalogue_shapes.h"

namespace gantry {

ModelCard language_card(const LanguageShape& shape, Mix mix);
// In F16, as published files are; `embd`: the width of the model that it feeds.
ModelCard encoder_card(const EncoderShape& shape, uint32_t embd);
ModelCard speech_card(const SpeechShape& shape, Mix mix);
bool speech_mix(Mix mix);  // whether whisper's files come in it

}  // namespace gantry
