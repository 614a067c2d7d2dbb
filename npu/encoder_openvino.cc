// Compiles an encoder for one device and runs it there. Every exception of OpenVINO ends here as
// the text of an error.
#include "npu/encoder_openvino.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <openvino/openvino.hpp>
#include <openvino/runtime/intel_npu/properties.hpp>
#include <optional>
#include <string>

#include "npu/whisper_graph.h"

namespace gantry {

namespace {

struct Encoder {
  ov::Core core;
  ov::CompiledModel model;
  ov::InferRequest request;
  // Our own, never the caller's memory: a device that answers after we gave it up writes here.
  ov::Tensor mel, states;
  bool stuck = false;
};

bool refuse(const char* cause, EncoderText* error) {
  write_text(cause, error);
  return false;
}

// (1, a, b), static, floats.
std::optional<std::pair<uint32_t, uint32_t>> sizes(const ov::Output<const ov::Node>& port) {
  const ov::PartialShape& shape = port.get_partial_shape();
  if (!shape.is_static() || shape.size() != 3 || shape[0] != 1) return std::nullopt;
  if (port.get_element_type() != ov::element::f32) return std::nullopt;
  return std::pair(static_cast<uint32_t>(shape[1].get_length()),
                   static_cast<uint32_t>(shape[2].get_length()));
}

bool devices(EncoderText* names, EncoderText* error) {
  try {
    std::string text;
    for (const std::string& name : ov::Core().get_available_devices()) {
      text += (text.empty() ? "" : ",") + name;
    }
    write_text(text.c_str(), names);
    return true;
  } catch (const std::exception& exception) {
    return refuse(exception.what(), error);
  }
}

ov::AnyMap properties(const std::string& device, const char* cache_dir, uint32_t threads) {
  ov::AnyMap map{{ov::hint::performance_mode(ov::hint::PerformanceMode::LATENCY)}};
  if (*cache_dir != '\0') map.insert(ov::cache_dir(cache_dir));
  if (device == "CPU") {
    map.insert(ov::inference_num_threads(static_cast<int32_t>(threads)));
    // Otherwise processors that have it compute in bfloat16, and words differ by machine.
    map.insert(ov::hint::inference_precision(ov::element::f32));
  }
  // OpenVINO's packages have no compiler for NPUs: the driver's.
  if (device.starts_with("NPU")) {
    map.insert(ov::intel_npu::compiler_type(ov::intel_npu::CompilerType::DRIVER));
  }
  return map;
}

void* open(const char* ir, const char* device, const char* cache_dir, uint32_t threads,
           EncoderShape* shape, EncoderText* answers, EncoderText* error) {
  try {
    auto made = std::make_unique<Encoder>();
    made->model = made->core.compile_model(std::string(ir), device,
                                           properties(device, cache_dir, threads));
    if (made->model.inputs().size() != 1 || made->model.outputs().size() != 1) {
      write_text("the encoder has not one input and one output", error);
      return nullptr;
    }
    const auto in = sizes(made->model.input()), out = sizes(made->model.output());
    if (!in || !out) {
      write_text("the encoder's shapes are not static", error);
      return nullptr;
    }
    *shape = {in->first, in->second, out->first, out->second};
    made->request = made->model.create_infer_request();
    made->mel = ov::Tensor(ov::element::f32, made->model.input().get_shape());
    made->states = ov::Tensor(ov::element::f32, made->model.output().get_shape());
    made->request.set_input_tensor(made->mel);
    made->request.set_output_tensor(made->states);
    std::string names;
    for (const std::string& name : made->model.get_property(ov::execution_devices)) {
      names += (names.empty() ? "" : ",") + name;
    }
    write_text(names.c_str(), answers);
    return made.release();
  } catch (const std::exception& exception) {
    write_text(exception.what(), error);
    return nullptr;
  }
}

bool encode(void* encoder, const float* mel, float* states, int64_t wait_ms_max,
            EncoderText* error) {
  auto& self = *static_cast<Encoder*>(encoder);
  try {
    std::memcpy(self.mel.data(), mel, self.mel.get_byte_size());
    self.request.start_async();
    if (!self.request.wait_for(std::chrono::milliseconds(wait_ms_max))) {
      self.stuck = true;
      return refuse("the device gave no answer in time", error);
    }
    self.request.wait();  // wait_for() tells the end, this what was thrown
    std::memcpy(states, self.states.data(), self.states.get_byte_size());
    return true;
  } catch (const std::exception& exception) {
    return refuse(exception.what(), error);
  }
}

// One that is stuck is left behind for the rest of the process: to destroy it would wait for ever.
void close(void* encoder) {
  std::unique_ptr<Encoder> self(static_cast<Encoder*>(encoder));
  if (self->stuck) static_cast<void>(self.release());
}

bool convert(const EncoderModel* model, const char* xml, EncoderText* error) {
  const std::string cause = write_whisper_encoder(*model, xml);
  return cause.empty() || refuse(cause.c_str(), error);
}

constexpr EncoderApi kApi{.devices = devices, .open = open, .encode = encode, .close = close,
                          .convert = convert};

}  // namespace

const EncoderApi& openvino_encoder_api() { return kApi; }

// On one line.
void write_text(const char* text, EncoderText* out) {
  const size_t size = std::min(std::strlen(text), out->size() - 1);
  std::copy_n(text, size, out->begin());
  (*out)[size] = '\0';
  std::replace_if(out->begin(), out->begin() + static_cast<std::ptrdiff_t>(size),
                  [](char c) { return static_cast<unsigned char>(c) < ' '; }, ' ');
}

}  // namespace gantry
