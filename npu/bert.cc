// BERT's blocks in OpenVINO's operations, as llama.cpp's bert.cpp has them.
#include "npu/bert.h"

#include <fmt/format.h>
#include <ggml.h>

#include <array>
#include <cstring>
#include <openvino/opsets/opset13.hpp>

#include "model/gguf.h"
#include "npu/core.h"

namespace gantry {

namespace {

namespace op = ov::opset13;
using Node = ov::Output<ov::Node>;

Error bad_key(std::string_view key) {
  return {Code::kCorrupt, fmt::format("the model's {} is missing or out of range", key),
          "convert it again with llama.cpp's convert_hf_to_gguf.py"};
}

Result<uint32_t> number_of(const Gguf& gguf, std::string_view key, uint64_t least, uint64_t most) {
  const GgufPair* pair = gguf.find(key);
  const auto value = pair == nullptr ? std::nullopt : pair->whole();
  if (!value || *value < least || *value > most) return fail(bad_key(key));
  return static_cast<uint32_t>(*value);
}

Result<float> fraction_of(const Gguf& gguf, std::string_view key) {
  const GgufPair* pair = gguf.find(key);
  float value = 0;
  if (pair == nullptr || pair->is_array || pair->raw.size() != sizeof value ||
      pair->type != GgufType::kF32) {
    return fail(bad_key(key));
  }
  std::memcpy(&value, pair->raw.data(), sizeof value);
  if (!(value >= 0 && value < 1)) return fail(bad_key(key));
  return value;
}

Result<Pooling> pooling_of(const Gguf& gguf) {
  constexpr std::string_view kKey = "bert.pooling_type";
  if (gguf.find(kKey) == nullptr) return Pooling::kMean;
  const Result<uint32_t> value = number_of(gguf, kKey, 0, 4);
  if (!value) return fail(value.error());
  switch (*value) {  // llama.h's enum llama_pooling_type
    case 1: return Pooling::kMean;
    case 2: return Pooling::kCls;
    case 3: return Pooling::kLast;
    default: break;
  }
  return fail(Code::kUnsupported, fmt::format("pooling type {} gives no embedding of a text",
                                              *value),
              "use a model that pools by mean, cls or last");
}

Result<BertFacts> facts_of(const Gguf& gguf) {
  const GgufPair* architecture = gguf.find("general.architecture");
  const auto name = architecture == nullptr ? std::nullopt : architecture->text();
  if (!name || *name != "bert") {
    return fail(Code::kUnsupported,
                fmt::format("the architecture is {}, not bert", name ? *name : "missing"),
                "embeddings here are computed by models of the architecture bert");
  }
  BertFacts facts;
  const std::array<std::tuple<std::string_view, uint32_t*, uint64_t>, 5> fields = {{
      {"bert.block_count", &facts.layers, kBertLayersMax},
      {"bert.embedding_length", &facts.width, 1 << 16},
      {"bert.attention.head_count", &facts.heads, 1 << 12},
      {"bert.feed_forward_length", &facts.ffn, 1 << 18},
      {"bert.context_length", &facts.context, 1 << 20},
  }};
  for (const auto& [key, into, most] : fields) {
    const Result<uint32_t> value = number_of(gguf, key, 1, most);
    if (!value) return fail(value.error());
    *into = *value;
  }
  if (facts.width % facts.heads != 0) return fail(bad_key("bert.attention.head_count"));
  const Result<float> eps = fraction_of(gguf, "bert.attention.layer_norm_epsilon");
  if (!eps) return fail(eps.error());
  facts.eps = *eps;
  const Result<Pooling> pooling = pooling_of(gguf);
  if (!pooling) return fail(pooling.error());
  facts.pooling = *pooling;
  return facts;
}

// Makes nodes; the first fault stays, and from then on every tensor is a zero.
class Builder {
 public:
  Builder(const Gguf& gguf, std::span<const std::byte> file, const BertFacts& facts)
      : gguf_(gguf), file_(file), facts_(facts) {}

  std::optional<Error> fault;

  // (rows, columns), or (columns) when rows is 0. `rows_any`: as many rows as the file has.
  Node weight(const std::string& name, uint64_t rows, uint64_t columns, bool rows_any = false) {
    const GgufTensor* tensor = nullptr;
    for (const GgufTensor& one : gguf_.tensors) {
      if (one.name == name) tensor = &one;
    }
    if (tensor == nullptr) return refuse(Code::kUnsupported, name, "is not in the file");
    const uint64_t has_rows = tensor->elements / std::max<uint64_t>(1, tensor->shape[0]);
    if (tensor->shape[0] != columns || (!rows_any && has_rows != std::max<uint64_t>(1, rows)) ||
        tensor->shape[2] != 1 || tensor->shape[3] != 1) {
      return refuse(Code::kCorrupt, name, fmt::format("has the shape {} x {}", tensor->shape[0],
                                                      has_rows));
    }
    const ov::Shape shape = rows == 0 && !rows_any ? ov::Shape{columns}
                                                   : ov::Shape{has_rows, columns};
    ov::Tensor values(ov::element::f32, shape);
    const std::byte* data = file_.data() + gguf_.data_at + tensor->offset;
    const auto type = static_cast<ggml_type>(tensor->type);
    const ggml_type_traits* traits = ggml_get_type_traits(type);
    if (type == GGML_TYPE_F32) {
      std::memcpy(values.data(), data, tensor->bytes);
    } else if (traits != nullptr && traits->to_float != nullptr) {
      traits->to_float(data, values.data<float>(), static_cast<int64_t>(tensor->elements));
    } else {
      return refuse(Code::kUnsupported, name, "has a type that cannot become f32");
    }
    return std::make_shared<op::Constant>(values);
  }

  static Node whole(std::vector<int64_t> values) {
    const ov::Shape shape = {values.size()};
    return op::Constant::create(ov::element::i64, shape, values);
  }

  Node linear(const Node& x, const std::string& name, uint64_t out, uint64_t in) {
    const Node product =
        std::make_shared<op::MatMul>(x, weight(name + ".weight", out, in), false, true);
    return std::make_shared<op::Add>(product, weight(name + ".bias", 0, out));
  }

  Node norm(const Node& x, const std::string& name) {
    const Node scaled = std::make_shared<op::Multiply>(
        std::make_shared<op::MVN>(x, whole({-1}), true, facts_.eps,
                                  ov::op::MVNEpsMode::INSIDE_SQRT),
        weight(name + ".weight", 0, facts_.width));
    return std::make_shared<op::Add>(scaled, weight(name + ".bias", 0, facts_.width));
  }

  // (batch, tokens, width) -> (batch, heads, tokens, head)
  Node by_heads(const Node& x) {
    const int64_t head = facts_.width / facts_.heads;
    const Node cut = std::make_shared<op::Reshape>(
        x, whole({0, 0, static_cast<int64_t>(facts_.heads), head}), true);
    return std::make_shared<op::Transpose>(cut, whole({0, 2, 1, 3}));
  }

  Node attention(const Node& x, const Node& bias, const std::string& block) {
    const uint64_t w = facts_.width;
    const Node q = by_heads(linear(x, block + "attn_q", w, w));
    const Node k = by_heads(linear(x, block + "attn_k", w, w));
    const Node v = by_heads(linear(x, block + "attn_v", w, w));
    const Node seen = std::make_shared<op::ScaledDotProductAttention>(q, k, v, bias, false);
    const Node joined = std::make_shared<op::Reshape>(
        std::make_shared<op::Transpose>(seen, whole({0, 2, 1, 3})),
        whole({0, 0, static_cast<int64_t>(w)}), true);
    return linear(joined, block + "attn_output", w, w);
  }

  Node block(const Node& x, const Node& bias, uint32_t i) {
    const std::string name = fmt::format("blk.{}.", i);
    const Node attended = norm(std::make_shared<op::Add>(attention(x, bias, name), x),
                               name + "attn_output_norm");
    const Node up = linear(attended, name + "ffn_up", facts_.ffn, facts_.width);
    const Node active = std::make_shared<op::Gelu>(up, ov::op::GeluApproximationMode::TANH);
    const Node down = linear(active, name + "ffn_down", facts_.width, facts_.ffn);
    return norm(std::make_shared<op::Add>(down, attended), name + "layer_output_norm");
  }

  Node embedded(const Node& ids) {
    const uint64_t w = facts_.width;
    const Node zero = op::Constant::create(ov::element::i64, {}, {0});
    const Node words =
        std::make_shared<op::Gather>(weight("token_embd.weight", 0, w, true), ids, zero);
    const Node length = std::make_shared<op::Gather>(
        std::make_shared<op::ShapeOf>(ids), whole({1}), zero);
    const Node places = std::make_shared<op::Slice>(
        weight("position_embd.weight", facts_.context, w), whole({0}), length, whole({1}),
        whole({0}));
    const Node kind = std::make_shared<op::Gather>(weight("token_types.weight", 0, w, true),
                                                   zero, zero);
    return norm(std::make_shared<op::Add>(std::make_shared<op::Add>(words, kind), places),
                "token_embd_norm");
  }

 private:
  Node refuse(Code code, const std::string& name, const std::string& what) {
    if (!fault) {
      fault = Error{code, "the tensor " + name + " " + what,
                    "convert the model again with llama.cpp's convert_hf_to_gguf.py"};
    }
    return op::Constant::create(ov::element::f32, {}, {0.F});
  }

  const Gguf& gguf_;
  std::span<const std::byte> file_;
  const BertFacts& facts_;
};

// 0 where there is a token, a large negative number where there is padding: (batch, 1, 1, tokens)
Node bias_of(const Node& mask) {
  constexpr float kNever = -1e4F;  // finite in f16 too, which NPUs compute in
  const Node there = std::make_shared<op::Convert>(mask, ov::element::f32);
  const Node absent = std::make_shared<op::Subtract>(
      op::Constant::create(ov::element::f32, {}, {1.F}), there);
  const Node bias = std::make_shared<op::Multiply>(
      absent, op::Constant::create(ov::element::f32, {}, {kNever}));
  return std::make_shared<op::Unsqueeze>(bias, Builder::whole({1, 2}));
}

std::shared_ptr<op::Parameter> input(const std::string& name) {
  auto node = std::make_shared<op::Parameter>(ov::element::i64, ov::PartialShape{-1, -1});
  node->set_friendly_name(name);
  node->get_output_tensor(0).set_names({name});
  return node;
}

}  // namespace

Result<BertGraph> bert_graph(std::span<const std::byte> file) {
  const Result<Gguf> gguf = read_gguf(file);
  if (!gguf) return fail(gguf.error());
  const Result<BertFacts> facts = facts_of(*gguf);
  if (!facts) return fail(facts.error());
  Builder builder(*gguf, file, *facts);
  Result<std::shared_ptr<ov::Model>> model = ov_call("cannot build the graph", [&] {
    const auto ids = input("input_ids");
    const auto mask = input("attention_mask");
    const Node bias = bias_of(mask);
    Node x = builder.embedded(ids);
    for (uint32_t i = 0; i < facts->layers && !builder.fault; ++i) x = builder.block(x, bias, i);
    x.get_tensor().set_names({"last_hidden_state"});
    return std::make_shared<ov::Model>(ov::OutputVector{x}, ov::ParameterVector{ids, mask},
                                       "bert");
  });
  if (builder.fault) return fail(*builder.fault);
  if (!model) return fail(model.error());
  return BertGraph{*facts, std::move(*model)};
}

}  // namespace gantry
