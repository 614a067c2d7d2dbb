// One product at a time on ggml's CPU backend.
#include "stream/cpu_side.h"

#include <cstring>
#include <utility>

#include "ggml-backend-impl.h"

namespace gantry {
namespace {

constexpr size_t kGraphNodes = 4;

}  // namespace

Result<std::unique_ptr<CpuSide>> CpuSide::make(int threads) {
  ggml_backend_dev_t cpu = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
  ggml_backend_t backend = cpu == nullptr ? nullptr : ggml_backend_dev_init(cpu, nullptr);
  if (backend == nullptr) return fail(Code::kUnavailable, "ggml has no CPU backend here");
  const auto set_threads = reinterpret_cast<ggml_backend_set_n_threads_t>(
      ggml_backend_reg_get_proc_address(ggml_backend_dev_backend_reg(cpu),
                                        "ggml_backend_set_n_threads"));
  if (set_threads != nullptr && threads > 0) set_threads(backend, threads);
  std::unique_ptr<CpuSide> side(new CpuSide(backend));
  side->arena_.resize(ggml_tensor_overhead() * kGraphNodes +
                      ggml_graph_overhead_custom(kGraphNodes, false));
  return side;
}

CpuSide::~CpuSide() { ggml_backend_free(backend_); }

ggml_backend_buffer_t CpuSide::wrap(const std::byte* bytes, uint64_t size) {
  auto& buffer = weights_[bytes];
  if (!buffer || buffer.bytes() < size) {
    ggml_backend_dev_t cpu = ggml_backend_get_device(backend_);
    buffer = DeviceBuffer(ggml_backend_dev_buffer_from_host_ptr(
        cpu, const_cast<std::byte*>(bytes), size, size));
  }
  return buffer.get();
}

Result<void> CpuSide::room(uint64_t input, uint64_t output) {
  const uint64_t bytes = input + output;
  if (scratch_ && scratch_.bytes() >= bytes) return {};
  ggml_backend_dev_t cpu = ggml_backend_get_device(backend_);
  scratch_ = DeviceBuffer(
      ggml_backend_buft_alloc_buffer(ggml_backend_dev_buffer_type(cpu), 2 * bytes));
  if (!scratch_) return fail(Code::kDoesNotFit, "no host memory for activations");
  return {};
}

Result<void> CpuSide::product(ggml_tensor* node, const std::byte* bytes) {
  const ggml_tensor* weight = node->src[0];
  const ggml_tensor* input = node->src[1];
  const uint64_t aligned = (ggml_nbytes(input) + 63) / 64 * 64;
  if (const auto ok = room(aligned, ggml_nbytes(node)); !ok) return ok;
  ggml_backend_buffer_t memory = wrap(bytes, ggml_nbytes(weight));
  if (memory == nullptr) return fail(Code::kInternal, "the CPU takes no weights where they rest");

  ggml_context* context = ggml_init({arena_.size(), arena_.data(), true});
  ggml_tensor* w = ggml_new_tensor(context, weight->type, GGML_MAX_DIMS, weight->ne);
  ggml_tensor* x = ggml_new_tensor(context, input->type, GGML_MAX_DIMS, input->ne);
  ggml_tensor* y = ggml_mul_mat(context, w, x);
  std::memcpy(y->op_params, node->op_params, sizeof y->op_params);
  auto* base = static_cast<std::byte*>(ggml_backend_buffer_get_base(scratch_.get()));
  ggml_backend_tensor_alloc(memory, w, const_cast<std::byte*>(bytes));
  ggml_backend_tensor_alloc(scratch_.get(), x, base);
  ggml_backend_tensor_alloc(scratch_.get(), y, base + aligned);
  ggml_cgraph* graph = ggml_new_graph_custom(context, kGraphNodes, false);
  ggml_build_forward_expand(graph, y);

  ggml_backend_tensor_get(input, x->data, 0, ggml_nbytes(input));
  const ggml_status status = ggml_backend_graph_compute(backend_, graph);
  if (status == GGML_STATUS_SUCCESS) ggml_backend_tensor_set(node, y->data, 0, ggml_nbytes(node));
  ggml_free(context);
  if (status != GGML_STATUS_SUCCESS) {
    return fail(Code::kInternal, "the CPU failed on a matrix product");
  }
  return {};
}

}  // namespace gantry
