// Rows of tokens, their padding, and what is made of the states.
#include "npu/encoder.h"

#include <algorithm>
#include <map>

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

void give_shape(ov::Model& model, DeviceChain::Shape shape) {
  std::map<std::string, ov::PartialShape> shapes;
  for (const ov::Output<ov::Node>& input : model.inputs()) {
    shapes[input.get_any_name()] = {static_cast<int64_t>(shape.first),
                                    static_cast<int64_t>(shape.second)};
  }
  model.reshape(shapes);
}

}  // namespace

Encoder::Encoder(OvCore& core, const Clock& clock, std::shared_ptr<ov::Model> model,
                 EncoderOptions options)
    : options_(std::move(options)), chain_(core, clock, std::move(model), give_shape, options_) {}

Result<std::unique_ptr<Encoder>> Encoder::open(OvCore& core, const Clock& clock,
                                               std::shared_ptr<ov::Model> model,
                                               EncoderOptions options) {
  std::unique_ptr<Encoder> self(new Encoder(core, clock, model, std::move(options)));
  Result<Result<void>> looked = ov_call("cannot look at the model", [&] {
    return self->look_at_outputs(*model);
  });
  if (!looked) return fail(looked.error());
  if (!*looked) return fail(looked->error());
  return self;
}

Result<void> Encoder::look_at_outputs(const ov::Model& model) {
  for (const ov::Output<const ov::Node>& input : model.inputs()) {
    const std::string name = input.get_any_name();
    const bool known = name == kIds || name == kMask || name == kKinds || name == kPlaces;
    if (known && input.get_element_type() == ov::element::i64) continue;
    return fail(Code::kUnsupported, "the model's input " + name + " is not one of a text encoder",
                "export it with input_ids and attention_mask as 64-bit numbers");
  }
  for (size_t i = 0; i < model.outputs().size(); ++i) {
    const ov::PartialShape shape = model.output(i).get_partial_shape();
    const bool states = shape.rank().is_static() && shape.rank().get_length() == 3 &&
                        shape[2].is_static() && shape[2].get_length() > 0;
    if (!states || model.output(i).get_element_type() != ov::element::f32) continue;
    output_ = i;
    width_ = static_cast<size_t>(shape[2].get_length());
    return {};
  }
  return fail(Code::kUnsupported, "no output of the model is one vector a token",
              "export it for feature extraction, with f32 outputs");
}

Result<void> Encoder::prepare(size_t rows, uint32_t bucket) {
  return chain_.prepare({rows, bucket});
}

Result<std::vector<std::vector<float>>> Encoder::compute(DeviceChain::Compiled& on,
                                                         std::span<const Tokens* const> texts,
                                                         size_t rows, uint32_t bucket) {
  const ov::Shape shape = {chain_.fixed_on(on.device) ? rows : texts.size(), bucket};
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
  return chain_.run<std::vector<std::vector<float>>>(
      {rows, bucket},
      [&](DeviceChain::Compiled& on) { return compute(on, texts, rows, bucket); });
}

}  // namespace gantry
