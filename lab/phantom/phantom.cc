// libphantom.so: ggml devices that hold and compute nothing, for dry runs of machines that are not
// here. They size and align as CUDA does (ggml-cuda.cu of 0.25.3), and take the operations that it
// takes, as far as models need them.
//
// GANTRY_PHANTOM="12GiB,8GiB": the memory of each, in MiB where no unit stands. A program that
// loads a model for all that has its log say, line by line, what each would hold by then.
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "ggml-backend-impl.h"
#include "ggml-impl.h"

namespace {

constexpr size_t kAlignment = 128;
constexpr int64_t kRowPadding = 512;   // of quantised rows: MATRIX_ROW_PADDING
constexpr int64_t kOffloadBatch = 32;  // GGML_OP_OFFLOAD_MIN_BATCH
// Addresses of nothing: buffers must not overlap, and nobody may read them.
constexpr uintptr_t kNowhere = uintptr_t{1} << 44;

struct Phantom {
  ggml_backend_reg* registry = nullptr;
  ggml_backend_device device;
  ggml_backend_buffer_type memory;
  std::string name;
  size_t bytes = 0;
  size_t held = 0;  // by buffers that were asked for
};

struct Set {
  ggml_backend_reg registry;
  ggml_backend_buffer_type pinned;
  ggml_guid guid;
  std::vector<std::unique_ptr<Phantom>> phantoms;
};

Phantom& of(ggml_backend_dev_t device) { return *static_cast<Phantom*>(device->context); }
Set& of(ggml_backend_reg_t registry) { return *static_cast<Set*>(registry->context); }

// ---- buffers

void* get_base(ggml_backend_buffer_t) { return reinterpret_cast<void*>(kNowhere); }
void count(ggml_backend_buffer_type_t type, size_t more, size_t less) {
  Phantom& phantom = of(type->device);
  phantom.held += more - less;
  if (more != less) GGML_LOG_INFO("phantom: %s holds %zu\n", phantom.name.c_str(), phantom.held);
}
void free_buffer(ggml_backend_buffer_t buffer) { count(buffer->buft, 0, buffer->size); }
void memset_tensor(ggml_backend_buffer_t, ggml_tensor*, uint8_t, size_t, size_t) {}
void set_tensor(ggml_backend_buffer_t, ggml_tensor*, const void*, size_t, size_t) {}
void get_tensor(ggml_backend_buffer_t, const ggml_tensor*, void* data, size_t, size_t size) {
  std::memset(data, 0, size);
}
void clear(ggml_backend_buffer_t, uint8_t) {}

ggml_backend_buffer_t alloc_buffer(ggml_backend_buffer_type_t type, size_t size) {
  count(type, size, 0);
  ggml_backend_buffer_i face = {};
  face.free_buffer = free_buffer;
  face.get_base = get_base;
  face.memset_tensor = memset_tensor;
  face.set_tensor = set_tensor;
  face.get_tensor = get_tensor;
  face.clear = clear;
  return ggml_backend_buffer_init(type, face, nullptr, size);
}

const char* memory_name(ggml_backend_buffer_type_t type) { return of(type->device).name.c_str(); }
size_t alignment(ggml_backend_buffer_type_t) { return kAlignment; }

// A matrix kernel of flash attention reads K and V in F16; others are converted behind the result.
size_t flash_size(const ggml_tensor* result) {
  size_t end = ggml_nbytes(result);
  for (const ggml_tensor* side : {result->src[1], result->src[2]}) {
    if (side->type == GGML_TYPE_F16) continue;
    end = GGML_PAD(end, kAlignment) +
          static_cast<size_t>(ggml_nelements(side)) * ggml_type_size(GGML_TYPE_F16);
  }
  return end;
}

size_t alloc_size(ggml_backend_buffer_type_t, const ggml_tensor* tensor) {
  size_t size =
      tensor->op == GGML_OP_FLASH_ATTN_EXT ? flash_size(tensor) : ggml_nbytes(tensor);
  if (ggml_is_quantized(tensor->type) && tensor->ne[0] % kRowPadding != 0) {
    size += ggml_row_size(tensor->type, kRowPadding - tensor->ne[0] % kRowPadding);
  }
  return size;
}

const char* pinned_name(ggml_backend_buffer_type_t) { return "Phantom_Host"; }

// Small tables of the context are really there; they lie where pinned memory would be.
ggml_backend_buffer_t alloc_pinned(ggml_backend_buffer_type_t type, size_t size) {
  ggml_backend_buffer_type_t plain = ggml_backend_cpu_buffer_type();
  ggml_backend_buffer_t buffer = ggml_backend_buft_alloc_buffer(plain, size);
  if (buffer != nullptr) buffer->buft = type;
  return buffer;
}

// ---- backends

const char* backend_name(ggml_backend_t backend) { return of(backend->device).name.c_str(); }
void backend_free(ggml_backend_t backend) { const std::unique_ptr<ggml_backend> gone(backend); }
void backend_wait(ggml_backend_t) {}
void backend_event(ggml_backend_t, ggml_backend_event_t) {}
ggml_status backend_compute(ggml_backend_t, ggml_cgraph*) {
  GGML_LOG_ERROR("phantom: there is nothing here that computes\n");
  return GGML_STATUS_FAILED;
}

ggml_backend_t device_init(ggml_backend_dev_t device, const char*) {
  ggml_backend_i face = {};
  face.get_name = backend_name;
  face.free = backend_free;
  face.synchronize = backend_wait;
  face.graph_compute = backend_compute;
  face.event_record = backend_event;
  face.event_wait = backend_event;
  auto backend = std::make_unique<ggml_backend>();
  *backend = {&of(of(device).registry).guid, face, device, nullptr};
  return backend.release();
}

// ---- devices

const char* device_name(ggml_backend_dev_t device) { return of(device).name.c_str(); }
const char* description(ggml_backend_dev_t) { return "a device that is not here"; }
void memory(ggml_backend_dev_t device, size_t* free, size_t* total) {
  *free = *total = of(device).bytes;
}
enum ggml_backend_dev_type type_of(ggml_backend_dev_t) { return GGML_BACKEND_DEVICE_TYPE_GPU; }

void props(ggml_backend_dev_t device, ggml_backend_dev_props* out) {
  *out = {};
  out->name = device_name(device);
  out->description = description(device);
  out->type = type_of(device);
  memory(device, &out->memory_free, &out->memory_total);
  out->caps.async = out->caps.host_buffer = out->caps.events = true;
  out->caps.mmap_support = true;
}

ggml_backend_buffer_type_t buffer_type(ggml_backend_dev_t device) { return &of(device).memory; }
ggml_backend_buffer_type_t host_type(ggml_backend_dev_t device) {
  return &of(of(device).registry).pinned;
}

bool is_phantom(ggml_backend_buffer_type_t type) { return type->iface.get_name == memory_name; }

bool copies(ggml_type from, ggml_type to) {
  const auto plain = [](ggml_type type) {
    return type == GGML_TYPE_F32 || type == GGML_TYPE_F16 || type == GGML_TYPE_BF16;
  };
  return (plain(from) && plain(to)) || from == to ||
         (from == GGML_TYPE_F32 && ggml_is_quantized(to)) ||
         (to == GGML_TYPE_F32 && ggml_is_quantized(from));
}

bool supports_op(ggml_backend_dev_t device, const ggml_tensor* op) {
  for (const ggml_tensor* operand : op->src) {
    if (operand == nullptr || operand->buffer == nullptr) continue;
    if (is_phantom(operand->buffer->buft) && operand->buffer->buft->device != device) return false;
  }
  switch (op->op) {
    case GGML_OP_MUL_MAT:
    case GGML_OP_MUL_MAT_ID:
      return op->src[0]->nb[0] == ggml_element_size(op->src[0]) &&
             op->src[1]->nb[0] == ggml_element_size(op->src[1]);
    case GGML_OP_GET_ROWS:
      return op->src[0]->type != GGML_TYPE_NVFP4;
    case GGML_OP_CPY:
      return copies(op->src[0]->type, op->src[1]->type);
    case GGML_OP_NORM:
    case GGML_OP_RMS_NORM:
    case GGML_OP_L2_NORM:
      return ggml_is_contiguous_rows(op->src[0]);
    case GGML_OP_GLU:
      return ggml_is_contiguous_1(op->src[0]);
    case GGML_OP_UNARY:
      return ggml_is_contiguous(op->src[0]);
    case GGML_OP_MAP_CUSTOM1:
    case GGML_OP_MAP_CUSTOM2:
    case GGML_OP_MAP_CUSTOM3:
    case GGML_OP_CUSTOM:
      return false;
    default:
      return true;
  }
}

bool supports_buft(ggml_backend_dev_t device, ggml_backend_buffer_type_t type) {
  return type == &of(device).memory;
}

// A batch of so many tokens pays for the copy of the weight.
bool offload_op(ggml_backend_dev_t, const ggml_tensor* op) {
  switch (op->op) {
    case GGML_OP_GET_ROWS: return false;
    case GGML_OP_MUL_MAT: return op->ne[1] >= kOffloadBatch;
    case GGML_OP_MUL_MAT_ID:
    case GGML_OP_ROPE: return op->ne[2] >= kOffloadBatch;
    default: return ggml_nrows(op) >= kOffloadBatch;
  }
}

ggml_backend_event_t event_new(ggml_backend_dev_t device) {
  auto event = std::make_unique<ggml_backend_event>();
  *event = {device, nullptr};
  return event.release();
}
void event_free(ggml_backend_dev_t, ggml_backend_event_t event) {
  const std::unique_ptr<ggml_backend_event> gone(event);
}
void event_wait(ggml_backend_dev_t, ggml_backend_event_t) {}

ggml_backend_device_i device_interface() {
  ggml_backend_device_i face = {};
  face.get_name = device_name;
  face.get_description = description;
  face.get_memory = memory;
  face.get_type = type_of;
  face.get_props = props;
  face.init_backend = device_init;
  face.get_buffer_type = buffer_type;
  face.get_host_buffer_type = host_type;
  face.supports_op = supports_op;
  face.supports_buft = supports_buft;
  face.offload_op = offload_op;
  face.event_new = event_new;
  face.event_free = event_free;
  face.event_synchronize = event_wait;
  return face;
}

// ---- the registry

const char* registry_name(ggml_backend_reg_t) { return "Phantom"; }
size_t device_count(ggml_backend_reg_t registry) { return of(registry).phantoms.size(); }
ggml_backend_dev_t device_at(ggml_backend_reg_t registry, size_t i) {
  return &of(registry).phantoms[i]->device;
}

size_t bytes_of(const std::string& text) {
  char* end = nullptr;
  const auto n = static_cast<size_t>(std::strtoull(text.c_str(), &end, 10));
  return n << (std::strncmp(end, "GiB", 3) == 0 ? 30 : 20);
}

void add_phantoms(Set* set, const std::string& list) {
  for (size_t at = 0; at < list.size();) {
    const size_t end = std::min(list.find(',', at), list.size());
    auto phantom = std::make_unique<Phantom>();
    phantom->registry = &set->registry;
    phantom->name = "Phantom" + std::to_string(set->phantoms.size());
    phantom->bytes = bytes_of(list.substr(at, end - at));
    phantom->device = {device_interface(), &set->registry, phantom.get()};
    phantom->memory.iface.get_name = memory_name;
    phantom->memory.iface.alloc_buffer = alloc_buffer;
    phantom->memory.iface.get_alignment = alignment;
    phantom->memory.iface.get_alloc_size = alloc_size;
    phantom->memory.device = &phantom->device;
    set->phantoms.push_back(std::move(phantom));
    at = end + 1;
  }
}

std::unique_ptr<Set> make_set() {
  auto set = std::make_unique<Set>();
  set->registry = {GGML_BACKEND_API_VERSION, {}, set.get()};
  set->registry.iface.get_name = registry_name;
  set->registry.iface.get_device_count = device_count;
  set->registry.iface.get_device = device_at;
  std::memcpy(set->guid, "gantry-phantom-0", sizeof(set->guid));
  const char* list = std::getenv("GANTRY_PHANTOM");
  add_phantoms(set.get(), list == nullptr ? "" : list);
  set->pinned = *ggml_backend_cpu_buffer_type();
  set->pinned.iface.get_name = pinned_name;
  set->pinned.iface.alloc_buffer = alloc_pinned;
  set->pinned.device = set->phantoms.empty() ? nullptr : &set->phantoms.front()->device;
  return set;
}

}  // namespace

// For as long as the program runs, as ggml has no safe way to take a backend out again.
extern "C" __attribute__((visibility("default"))) ggml_backend_reg_t ggml_backend_init(void) {
  if (std::strcmp(ggml_version(), GANTRY_GGML_VERSION) != 0) {
    GGML_LOG_ERROR("phantom: built for ggml %s\n", GANTRY_GGML_VERSION);
    return nullptr;
  }
  static Set* const set = make_set().release();
  return &set->registry;
}
