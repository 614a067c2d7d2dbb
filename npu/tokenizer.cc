// Both kinds of tokenizer.
#include "npu/tokenizer.h"

#include <llama.h>

#include <mutex>
#include <openvino/opsets/opset13.hpp>

namespace gantry {

namespace {

struct FreeModel {
  void operator()(llama_model* model) const { llama_model_free(model); }
};

void silent(ggml_log_level, const char*, void*) {}

class GgufTokenizer final : public TextTokenizer {
 public:
  explicit GgufTokenizer(llama_model* model) : model_(model) {}

  Result<Tokens> encode(const std::string& text, size_t most) override {
    const llama_vocab* vocab = llama_model_get_vocab(model_.get());
    const auto length = static_cast<int32_t>(text.size());
    // As llama-server's /v1/embeddings: with marks, and marks in the text are marks.
    std::vector<llama_token> tokens(text.size() + 8);
    int32_t n = llama_tokenize(vocab, text.data(), length, tokens.data(),
                               static_cast<int32_t>(tokens.size()), true, true);
    if (n < 0 && n != INT32_MIN) {
      tokens.resize(static_cast<size_t>(-n));
      n = llama_tokenize(vocab, text.data(), length, tokens.data(), -n, true, true);
    }
    if (n < 0) return fail(Code::kCorrupt, "the text cannot be cut into tokens");
    return truncated({tokens.begin(), tokens.begin() + n}, most);
  }

 private:
  std::unique_ptr<llama_model, FreeModel> model_;
};

// Numbers that stand in the graph as constants become very large.
void raise_constants(ov::Node& node, const std::vector<size_t>& inputs) {
  constexpr int32_t kNever = 1 << 30;
  for (const size_t i : inputs) {
    const ov::PartialShape shape = node.get_input_partial_shape(i);
    const bool number = node.get_input_element_type(i) == ov::element::i32 &&
                        shape.is_static() && ov::shape_size(shape.to_shape()) == 1;
    const bool constant =
        std::string_view(node.get_input_node_ptr(i)->get_type_name()) == "Constant";
    if (!number || !constant) continue;
    node.input(i).replace_source_output(
        ov::opset13::Constant::create(ov::element::i32, shape.to_shape(), {kNever}));
  }
}

// The graph's own cut is taken out: whether a text was too long would not be known. Its length is
// the input before the last two, a constant, or chosen by a switch between constants.
void uncut(const std::shared_ptr<ov::Model>& model) {
  for (const std::shared_ptr<ov::Node>& node : model->get_ops()) {
    if (std::string_view(node->get_type_name()) != "Truncate") continue;
    const size_t length = node->get_input_size() - 3;
    raise_constants(*node, {length});
    ov::Node* chosen = node->get_input_node_ptr(length);
    if (std::string_view(chosen->get_type_name()) == "Select") raise_constants(*chosen, {1, 2});
  }
  model->validate_nodes_and_infer_types();
}

class OvTokenizer final : public TextTokenizer {
 public:
  explicit OvTokenizer(ov::CompiledModel model)
      : model_(std::move(model)), request_(model_.create_infer_request()) {}

  Result<Tokens> encode(const std::string& text, size_t most) override {
    const std::lock_guard lock(mutex_);
    return ov_call("the tokenizer failed", [&] {
      std::string copy = text;
      request_.set_input_tensor(ov::Tensor(ov::element::string, {1}, &copy));
      request_.infer();
      const ov::Tensor ids = request_.get_tensor("input_ids");
      const auto* first = ids.data<int64_t>();
      return truncated({first, first + ids.get_size()}, most);
    });
  }

 private:
  std::mutex mutex_;  // of the request
  ov::CompiledModel model_;
  ov::InferRequest request_;
};

}  // namespace

Tokens truncated(std::vector<int64_t> ids, size_t most) {
  if (ids.size() <= most || most == 0) return {std::move(ids), false};
  ids[most - 1] = ids.back();
  ids.resize(most);
  return {std::move(ids), true};
}

Result<std::unique_ptr<TextTokenizer>> open_gguf_tokenizer(const std::string& file) {
  llama_log_set(silent, nullptr);
  llama_model_params params = llama_model_default_params();
  params.vocab_only = true;
  llama_model* model = llama_model_load_from_file(file.c_str(), params);
  if (model == nullptr) {
    return fail(Code::kCorrupt, "llama.cpp cannot read the vocabulary of " + file,
                "convert it again with llama.cpp's convert_hf_to_gguf.py");
  }
  return std::make_unique<GgufTokenizer>(model);
}

Result<std::unique_ptr<TextTokenizer>> open_ov_tokenizer(OvCore& core, const std::string& xml) {
  Result<std::shared_ptr<ov::Model>> model = core.read(xml);
  if (!model) return fail(model.error());
  Result<void> opened = ov_call("cannot prepare " + xml, [&] { uncut(*model); });
  if (!opened) return fail(opened.error());
  Result<OvCompiled> compiled = core.compile(*model, {"CPU"});  // text is the CPU's everywhere
  if (!compiled) return fail(compiled.error());
  return ov_call("cannot prepare " + xml, [&]() -> std::unique_ptr<TextTokenizer> {
    return std::make_unique<OvTokenizer>(std::move(compiled->model));
  });
}

}  // namespace gantry
