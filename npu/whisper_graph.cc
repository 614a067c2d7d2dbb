// The graph in OpenVINO's operations, in the order of whisper.cpp's whisper_build_graph_conv() and
// whisper_build_graph_encoder(). Shapes stand in comments.
#include "npu/whisper_graph.h"

#include <cmath>
#include <limits>
#include <openvino/op/ops.hpp>
#include <openvino/openvino.hpp>
#include <openvino/opsets/opset13.hpp>
#include <vector>

namespace gantry {

namespace {

namespace op = ov::opset13;
using Value = ov::Output<ov::Node>;

constexpr float kEpsilon = 1e-5F;  // of the norms; whisper.cpp's hparams.eps

class Graph {
 public:
  explicit Graph(const EncoderModel& model)
      : model_(model), state_(model.state), context_(model.context) {}

  const std::string& error() const { return error_; }

  auto build() {
    const auto mel =
        std::make_shared<op::Parameter>(ov::element::f32, ov::Shape{1, model_.mels, 2 * context_});
    mel->output(0).set_names({"mel"});
    Value x = convolution(mel, "conv1", model_.mels, 1);  // (1, state, 2 context)
    x = convolution(x, "conv2", model_.state, 2);         // (1, state, context)
    x = transpose(x, {0, 2, 1});                          // (1, context, state)
    x = add(x, plain("positional_embedding", {1, context_, state_}));
    for (uint32_t i = 0; i < model_.layers && error_.empty(); ++i) {
      const std::string at = "blocks." + std::to_string(i) + ".";
      x = add(x, attention(norm(x, at + "attn_ln"), at + "attn."));
      const Value wide = linear(norm(x, at + "mlp_ln"), at + "mlp.0", 4 * state_, state_, true);
      x = add(x, linear(gelu(wide), at + "mlp.2", state_, 4 * state_, true));
    }
    x = norm(x, "ln_post");
    const auto result = std::make_shared<op::Result>(x);
    result->output(0).set_names({"output_features"});
    return std::make_shared<ov::Model>(ov::ResultVector{result}, ov::ParameterVector{mel},
                                       "whisper_encoder");
  }

 private:
  std::vector<float> read(const std::string& name, const ov::Shape& shape) {
    std::vector<float> values(ov::shape_size(shape));
    if (!error_.empty()) return values;
    const std::string whole = "encoder." + name;
    if (!model_.read(model_.user, whole.c_str(), values.data(), values.size())) {
      error_ = whole + " cannot be read";
    }
    for (const float value : values) {
      if (!std::isfinite(value)) error_ = whole + " holds what is no number";
    }
    return values;
  }
  // 32 bits: what is added or multiplied value by value, and small.
  Value plain(const std::string& name, const ov::Shape& shape) {
    return std::make_shared<op::Constant>(ov::element::f32, shape, read(name, shape).data());
  }
  // 16 bits, widened where it is used; a device that computes in 16 bits leaves the widening out.
  Value weight(const std::string& name, const ov::Shape& shape) {
    const std::vector<float> values = read(name, shape);
    std::vector<ov::float16> halves;
    halves.reserve(values.size());
    constexpr float kMost = 65504;  // the largest number of 16 bits
    for (const float value : values) {
      if (std::fabs(value) > kMost) error_ = name + " has weights that 16 bits cannot hold";
      halves.emplace_back(value);
    }
    const auto constant =
        std::make_shared<op::Constant>(ov::element::f16, shape, halves.data());
    return std::make_shared<op::Convert>(constant, ov::element::f32);
  }
  static Value numbers(const std::vector<int64_t>& values) {
    return op::Constant::create(ov::element::i64, ov::Shape{values.size()}, values);
  }
  static Value add(const Value& a, const Value& b) { return std::make_shared<op::Add>(a, b); }
  static Value transpose(const Value& x, const std::vector<int64_t>& order) {
    return std::make_shared<op::Transpose>(x, numbers(order));
  }
  static Value reshape(const Value& x, const std::vector<int64_t>& shape) {
    return std::make_shared<op::Reshape>(x, numbers(shape), false);
  }
  static Value gelu(const Value& x) {  // ggml's is the tanh form
    return std::make_shared<op::Gelu>(x, ov::op::GeluApproximationMode::TANH);
  }
  Value convolution(const Value& x, const std::string& name, size_t channels, size_t stride) {
    const auto made = std::make_shared<op::Convolution>(
        x, weight(name + ".weight", {state_, channels, 3}), ov::Strides{stride},
        ov::CoordinateDiff{1}, ov::CoordinateDiff{1}, ov::Strides{1});
    return gelu(add(made, plain(name + ".bias", {1, state_, 1})));
  }
  Value norm(const Value& x, const std::string& name) {
    const Value even = std::make_shared<op::MVN>(x, numbers({-1}), true, kEpsilon,
                                                 ov::op::MVNEpsMode::INSIDE_SQRT);
    const Value scaled =
        std::make_shared<op::Multiply>(even, plain(name + ".weight", {1, 1, state_}));
    return add(scaled, plain(name + ".bias", {1, 1, state_}));
  }
  Value linear(const Value& x, const std::string& name, size_t out, size_t in, bool bias) {
    const Value product =
        std::make_shared<op::MatMul>(x, weight(name + ".weight", {out, in}), false, true);
    return bias ? add(product, plain(name + ".bias", {1, 1, out})) : product;
  }
  Value attention(const Value& x, const std::string& at) {
    const auto context = static_cast<int64_t>(context_), heads = int64_t{model_.heads};
    const int64_t size = static_cast<int64_t>(state_) / heads;
    const auto split = [&](const Value& value) {  // (1, heads, context, size)
      return transpose(reshape(value, {1, context, heads, size}), {0, 2, 1, 3});
    };
    const Value q = split(linear(x, at + "query", state_, state_, true));
    const Value k = split(linear(x, at + "key", state_, state_, false));
    const Value v = split(linear(x, at + "value", state_, state_, true));
    const Value scale = op::Constant::create(ov::element::f32, ov::Shape{1},
                                             {1.0F / std::sqrt(static_cast<float>(size))});
    const Value scores =  // (1, heads, context, context)
        std::make_shared<op::Multiply>(std::make_shared<op::MatMul>(q, k, false, true), scale);
    const Value mixed = std::make_shared<op::MatMul>(std::make_shared<op::Softmax>(scores, 3), v);
    const Value joined =
        reshape(transpose(mixed, {0, 2, 1, 3}), {1, context, static_cast<int64_t>(state_)});
    return linear(joined, at + "out", state_, state_, true);
  }

  const EncoderModel& model_;
  const size_t state_, context_;
  std::string error_;
};

}  // namespace

std::string write_whisper_encoder(const EncoderModel& model, const std::string& xml) {
  std::string error;
  try {
    Graph graph(model);
    const auto made = graph.build();
    if (!graph.error().empty()) return graph.error();
    ov::save_model(made, xml, false);
  } catch (const std::exception& exception) {
    error = exception.what();
  }
  return error;
}

}  // namespace gantry
