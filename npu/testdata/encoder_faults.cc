// Stands in for libgantry-encoder.so in tests: a machine with NPU, GPU and CPU, all of which are
// OpenVINO's CPU, that fail as GANTRY_ENCODER_FAULTS says: "NPU:2=throw,GPU:0=absent". The second
// encode on that device since it was opened throws, gives NaN ("nan") or infinity ("inf"), hangs
// ("hang"); "absent": it cannot be opened; "shape": it says other sizes.
#include <cstdlib>
#include <limits>
#include <memory>
#include <string>

#include "npu/encoder_openvino.h"

namespace gantry {
namespace {

struct Faulty {
  std::string device;
  void* inner = nullptr;
  EncoderShape shape;
  uint64_t encodes = 0;
};

bool asked(const std::string& device, uint64_t number, const std::string& kind) {
  const char* faults = std::getenv("GANTRY_ENCODER_FAULTS");
  if (faults == nullptr) return false;
  const std::string all = "," + std::string(faults) + ",";
  return all.find("," + device + ":" + std::to_string(number) + "=" + kind + ",") !=
         std::string::npos;
}

bool devices(EncoderText* names, EncoderText*) {
  const char* there = std::getenv("GANTRY_ENCODER_DEVICES");
  write_text(there == nullptr ? "CPU,GPU,NPU" : there, names);
  return true;
}

void* open(const char* ir, const char* device, const char* cache_dir, uint32_t threads,
           EncoderShape* shape, EncoderText* answers, EncoderText* error) {
  if (asked(device, 0, "absent")) {
    write_text("injected: no such device", error);
    return nullptr;
  }
  auto made = std::make_unique<Faulty>();
  made->device = device;
  made->inner = openvino_encoder_api().open(ir, "CPU", cache_dir, threads, shape, answers, error);
  if (made->inner == nullptr) return nullptr;
  made->shape = *shape;
  if (asked(device, 0, "shape")) ++shape->states;
  write_text(device, answers);
  return made.release();
}

bool encode(void* encoder, const float* mel, float* states, int64_t wait_ms, EncoderText* error) {
  auto& self = *static_cast<Faulty*>(encoder);
  ++self.encodes;
  if (asked(self.device, self.encodes, "throw")) {
    write_text("injected: device lost", error);
    return false;
  }
  if (asked(self.device, self.encodes, "hang")) {
    write_text("injected: no answer in time", error);
    return false;
  }
  if (!openvino_encoder_api().encode(self.inner, mel, states, wait_ms, error)) return false;
  const size_t last = size_t{self.shape.states} * self.shape.width - 1;
  if (asked(self.device, self.encodes, "nan")) {
    states[last] = std::numeric_limits<float>::quiet_NaN();
  }
  if (asked(self.device, self.encodes, "inf")) states[0] = std::numeric_limits<float>::infinity();
  return true;
}

void close(void* encoder) {
  const std::unique_ptr<Faulty> self(static_cast<Faulty*>(encoder));
  openvino_encoder_api().close(self->inner);
}

bool convert(const EncoderModel* model, const char* xml, EncoderText* error) {
  return openvino_encoder_api().convert(model, xml, error);
}

constexpr EncoderApi kApi{.devices = devices, .open = open, .encode = encode, .close = close,
                          .convert = convert};

}  // namespace
}  // namespace gantry

extern "C" __attribute__((visibility("default"))) const gantry::EncoderApi* gantry_encoder_api() {
  return &gantry::kApi;
}
