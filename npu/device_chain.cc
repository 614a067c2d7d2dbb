// Compiled shapes, and the way down when a device fails.
#include "npu/device_chain.h"

namespace gantry {

Result<DeviceChain::Compiled> DeviceChain::compile(const std::string& device, Shape shape) {
  std::shared_ptr<ov::Model> model = model_;
  if (fixed_on(device)) {
    Result<void> shaped = ov_call("cannot give the model static shapes", [&] {
      model = model_->clone();
      reshape_(*model, shape);
    });
    if (!shaped) return fail(shaped.error());
  }
  Result<OvCompiled> made = core_.compile_on(model, device);
  if (!made) return fail(made.error());
  return ov_call("cannot make a request", [&] {
    ov::InferRequest request = made->model.create_infer_request();
    return Compiled{made->device, std::move(made->model), std::move(request)};
  });
}

Result<DeviceChain::Compiled*> DeviceChain::compiled(Shape shape) {
  if (first_ > 0 && clock_.steady() >= rest_until_) {
    first_ = 0;  // perhaps it is back
    refused_.clear();
    shapes_.clear();
  }
  std::string causes;
  while (first_ < options_.chain.size()) {
    const std::string& device = options_.chain[first_];
    const Shape key = fixed_on(device) ? shape : Shape{};
    if (const auto found = shapes_.find(key); found != shapes_.end()) return &found->second;
    Result<Compiled> made = compile(device, shape);
    if (made) {
      device_ = made->device;
      return &shapes_.emplace(key, std::move(*made)).first->second;
    }
    causes += (causes.empty() ? "" : "; ") + device + ": " + made.error().message;
    leave(device, made.error().message);
  }
  return fail(Code::kUnavailable,
              causes.empty() ? "every device of the chain failed lately"
                             : "no device takes the model: " + causes,
              "add cpu to the chain of devices, or see gantry doctor");
}

void DeviceChain::leave(const std::string& device, const std::string& cause) {
  refused_.push_back({device, cause});
  shapes_.clear();
  ++first_;
  rest_until_ = clock_.steady() + kDeviceRest;
}

Result<void> DeviceChain::prepare(Shape shape) {
  const Result<Compiled*> made = compiled(shape);
  if (!made) return fail(made.error());
  return {};
}

}  // namespace gantry
