// For tests: small models in GGUF files, behind the streaming buffer type and in plain memory, and
// graphs over either.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/rng.h"
#include "ggml-backend-impl.h"
#include "gguf.h"
#include "stream/store.h"
#include "stream/test_bench.h"

namespace gantry {

struct FreeContext {
  void operator()(ggml_context* context) const { ggml_free(context); }
  void operator()(gguf_context* context) const { gguf_free(context); }
  void operator()(ggml_backend_buffer* buffer) const { ggml_backend_buffer_free(buffer); }
  void operator()(ggml_backend* backend) const { ggml_backend_free(backend); }
};
using Context = std::unique_ptr<ggml_context, FreeContext>;
using Buffer = std::unique_ptr<ggml_backend_buffer, FreeContext>;
using File = std::unique_ptr<gguf_context, FreeContext>;
using Backend = std::unique_ptr<ggml_backend, FreeContext>;

inline Context make_context(size_t tensors = 4096) {
  return Context(ggml_init({tensors * ggml_tensor_overhead() +
                                ggml_graph_overhead_custom(tensors, false),
                            nullptr, true}));
}

struct WeightShape {
  std::string name;
  ggml_type type = GGML_TYPE_F32;
  std::array<int64_t, 3> ne = {1, 1, 1};
};

using Weights = std::function<ggml_tensor*(const std::string&)>;

// Random weights in plain memory of the CPU, and the file that holds the same.
class PlainModel {
 public:
  PlainModel(const Inner& inner, const std::vector<WeightShape>& shapes, const std::string& path,
             uint64_t seed = 1)
      : path_(path), context_(make_context()) {
    for (const auto& shape : shapes) {
      ggml_set_name(ggml_new_tensor_3d(context_.get(), shape.type, shape.ne[0], shape.ne[1],
                                       shape.ne[2]),
                    shape.name.c_str());
    }
    buffer_.reset(ggml_backend_alloc_ctx_tensors_from_buft(context_.get(), inner.memory));
    Rng rng(seed);
    const File file(gguf_init_empty());
    for (ggml_tensor* t = first(); t != nullptr; t = ggml_get_next_tensor(context_.get(), t)) {
      std::vector<float> values(static_cast<size_t>(ggml_nelements(t)));
      for (float& v : values) v = static_cast<float>(rng.below(2001)) / 8000.0f - 0.125f;
      std::vector<std::byte> bytes(ggml_nbytes(t));
      ggml_quantize_chunk(t->type, values.data(), bytes.data(), 0, ggml_nrows(t), t->ne[0],
                          nullptr);
      ggml_backend_tensor_set(t, bytes.data(), 0, bytes.size());
      gguf_add_tensor(file.get(), t);
    }
    gguf_write_to_file(file.get(), path.c_str(), false);
  }
  const std::string& path() const { return path_; }
  ggml_tensor* first() const { return ggml_get_first_tensor(context_.get()); }
  ggml_context* context() const { return context_.get(); }
  Weights weights() const {
    return [this](const std::string& name) {
      return ggml_get_tensor(context_.get(), name.c_str());
    };
  }

 private:
  std::string path_;
  Context context_;
  Buffer buffer_;
};

// The streaming buffer type, as far as its weights are told by it.
struct StreamType {
  StreamType() : type{{[](ggml_backend_buffer_type_t) { return "Stream"; }}, nullptr, nullptr} {
    type.iface.get_alignment = [](ggml_backend_buffer_type_t) { return size_t{32}; };
    type.iface.is_host = [](ggml_backend_buffer_type_t) { return false; };
  }
  StreamType(const StreamType&) = delete;
  ggml_backend_buffer_t wrap(Store& store) {
    ggml_backend_buffer_i face = {};
    face.get_base = [](ggml_backend_buffer_t buffer) -> void* {
      return static_cast<Store*>(buffer->context)->base();
    };
    face.init_tensor = [](ggml_backend_buffer_t buffer, ggml_tensor* tensor) {
      auto& into = *static_cast<Store*>(buffer->context);
      if (tensor->view_src != nullptr) return GGML_STATUS_SUCCESS;
      into.add(tensor);
      tensor->extra = into.find(tensor);
      return GGML_STATUS_SUCCESS;
    };
    return ggml_backend_buffer_init(&type, face, &store, store.size());
  }
  ggml_backend_buffer_type type;
};

// Activations in a buffer of the program's own. `build` gets the context and the input x.
class TestGraph {
 public:
  using Build = std::function<ggml_tensor*(ggml_context*, ggml_tensor* x)>;
  TestGraph(const Inner& inner, std::array<int64_t, 2> input, const Build& build)
      : context_(make_context(20'000)) {
    x_ = ggml_new_tensor_2d(context_.get(), GGML_TYPE_F32, input[0], input[1]);
    out_ = build(context_.get(), x_);
    graph_ = ggml_new_graph_custom(context_.get(), 10'000, false);
    ggml_build_forward_expand(graph_, out_);
    buffer_.reset(ggml_backend_alloc_ctx_tensors_from_buft(context_.get(), inner.memory));
    ggml_backend_buffer_set_usage(buffer_.get(), GGML_BACKEND_BUFFER_USAGE_COMPUTE);
    fill(7);
  }
  // Another input, the same for the same seed.
  void fill(uint64_t seed) {
    Rng rng(seed);
    std::vector<float> values(static_cast<size_t>(ggml_nelements(x_)));
    for (float& v : values) v = static_cast<float>(rng.below(2001)) / 1000.0f - 1.0f;
    ggml_backend_tensor_set(x_, values.data(), 0, ggml_nbytes(x_));
  }
  std::vector<float> output() const {
    std::vector<float> values(static_cast<size_t>(ggml_nelements(out_)));
    ggml_backend_tensor_get(out_, values.data(), 0, ggml_nbytes(out_));
    return values;
  }
  ggml_cgraph* get() const { return graph_; }
  uint64_t buffer_bytes() const { return ggml_backend_buffer_get_size(buffer_.get()); }

 private:
  Context context_;
  Buffer buffer_;
  ggml_tensor* x_ = nullptr;
  ggml_tensor* out_ = nullptr;
  ggml_cgraph* graph_ = nullptr;
};

}  // namespace gantry
