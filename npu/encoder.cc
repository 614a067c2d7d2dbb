// Shapes, padding, and the way down when a device fails.
#include "npu/encoder.h"

#include <algorithm>
#include <cstring>

namespace gantry {

namespace {

constexpr std::string_view kIds = "input_ids", kMask = "attention_mask",
                           kKinds = "token_type_ids", kPlaces = "position_ids";

void fill(std::string_view input, std::span<const Tokens* const> texts, size_t rows,
          uint32_t bucket, int64_t* out) {
  std::fill(out, out + rows * bucket, 0);
  for (size_t row = 0; row < rows; ++row) {
    int64_t* at = out + row * bucket;
    // A row of padding sees one token, so that its softmax is a number.
    const size_t tokens = row < texts.size() ? texts[row]->ids.size() : 1;
    if (input == kMask) std::fill(at, at + tokens, 1);
    if (input == kIds && row < texts.size()) std::ranges::copy(texts[row]->ids, at);
    if (input == kPlaces) {
      for (uint32_t i = 0; i < bucket; ++i) at[i] = i;
    }
  }
}

}  // namespace

Result<std::unique_ptr<Encoder>> Encoder::open(OvCore& core, const Clock& clock,
                                               std::shared_ptr<ov::Model> model,
                                               EncoderOptions options) {
  std::unique_ptr<Encoder> self(new Encoder(core, clock, std::move(model), std::move(options)));
  Result<Result<void>> looked = ov_call("cannot look at the model", [&] {
    return self->look_at_outputs();
  });
  if (!looked) return fail(looked.error());
  if (!*looked) return fail(looked->error());
  return self;
}

Result<void> Encoder::look_at_outputs() {
  for (const ov::Output<ov::Node>& input : model_->inputs()) {
    const std::string name = input.get_any_name();
    const bool known = name == kIds || name == kMask || name == kKinds || name == kPlaces;
    if (known && input.get_element_type() == ov::element::i64) continue;
    return fail(Code::kUnsupported, "the model's input " + name + " is not one of a text encoder",
                "export it with input_ids and attention_mask as 64-bit numbers");
  }
  for (size_t i = 0; i < model_->outputs().size(); ++i) {
    const ov::PartialShape shape = model_->output(i).get_partial_shape();
    const bool states = shape.rank().is_static() && shape.rank().get_length() == 3 &&
                        shape[2].is_static() && shape[2].get_length() > 0;
    if (!states || model_->output(i).get_element_type() != ov::element::f32) continue;
    output_ = i;
    width_ = static_cast<size_t>(shape[2].get_length());
    return {};
  }
  return fail(Code::kUnsupported, "no output of the model is one vector a token",
              "export it for feature extraction, with f32 outputs");
}

bool Encoder::fixed_on(const std::string& device) const {
  return device != "CPU" || options_.fixed_on_cpu;
}

bool Encoder::fixed() const { return fixed_on(device_); }

Result<Encoder::Compiled> Encoder::compile(const std::string& device, size_t rows,
                                           uint32_t bucket) {
  std::shared_ptr<ov::Model> model = model_;
  if (fixed_on(device)) {
    Result<void> shaped = ov_call("cannot give the model static shapes", [&] {
      model = model_->clone();
      std::map<std::string, ov::PartialShape> shapes;
      for (const ov::Output<ov::Node>& input : model->inputs()) {
        shapes[input.get_any_name()] = {static_cast<int64_t>(rows), static_cast<int64_t>(bucket)};
      }
      model->reshape(shapes);
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

Result<Encoder::Compiled*> Encoder::compiled(size_t rows, uint32_t bucket) {
  if (first_ > 0 && clock_.steady() >= rest_until_) {
    first_ = 0;  // perhaps it is back
    refused_.clear();
    shapes_.clear();
  }
  std::string causes;
  while (first_ < options_.chain.size()) {
    const std::string& device = options_.chain[first_];
    const auto key = fixed_on(device) ? std::pair{rows, bucket} : std::pair<size_t, uint32_t>{};
    if (const auto found = shapes_.find(key); found != shapes_.end()) return &found->second;
    Result<Compiled> made = compile(device, rows, bucket);
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

void Encoder::leave(const std::string& device, const std::string& cause) {
  refused_.push_back({device, cause});
  shapes_.clear();
  ++first_;
  rest_until_ = clock_.steady() + kDeviceRest;
}

Result<void> Encoder::prepare(size_t rows, uint32_t bucket) {
  const Result<Compiled*> made = compiled(rows, bucket);
  if (!made) return fail(made.error());
  return {};
}

Result<std::vector<std::vector<float>>> Encoder::compute(Compiled& on,
                                                         std::span<const Tokens* const> texts,
                                                         size_t rows, uint32_t bucket) {
  const ov::Shape shape = {fixed_on(on.device) ? rows : texts.size(), bucket};
  return ov_call("the encoder failed", [&] {
    for (const ov::Output<const ov::Node>& input : on.model.inputs()) {
      const std::string name = input.get_any_name();
      ov::Tensor tensor(ov::element::i64, shape);
      fill(name, texts, shape[0], bucket, tensor.data<int64_t>());
      on.request.set_tensor(input, tensor);
    }
    on.request.infer();
    const ov::Tensor states = on.request.get_output_tensor(output_);
    std::vector<std::vector<float>> out;
    for (size_t row = 0; row < texts.size(); ++row) {
      const float* first = states.data<float>() + row * bucket * width_;
      out.push_back(pooled(options_.pooling, {first, texts[row]->ids.size() * width_}, width_,
                           options_.normalize));
    }
    return out;
  });
}

Result<std::vector<std::vector<float>>> Encoder::run(std::span<const Tokens* const> texts,
                                                     size_t rows, uint32_t bucket) {
  while (true) {
    const Result<Compiled*> on = compiled(rows, bucket);
    if (!on) return fail(on.error());
    const std::string device = (*on)->device;
    const bool injected = options_.faulty && options_.faulty(options_.chain[first_]);
    Result<std::vector<std::vector<float>>> out =
        injected ? fail(Code::kWorkerFailed, "a fault was injected")
                 : compute(**on, texts, rows, bucket);
    if (out) return out;
    leave(device, out.error().message);
  }
}

}  // namespace gantry
