// libggml-gantry.so: the streamer as a ggml backend, for programs that have never heard of us.
//
// Device "Gantry0" computes on an inner device. Its default buffer type is the inner device's own,
// so that KV caches and compute buffers are native; for weights it offers "Gantry_Stream", whose
// buffers only say where bytes rest. That type belongs to a second device, which is in no registry:
// loaders ask the owner of a type whether it takes mapped memory.
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "ggml-backend-impl.h"
#include "ggml-impl.h"
#include "stream/executor.h"
#include "stream/model.h"

namespace gantry {
namespace {

struct Plugin {
  ggml_backend_reg registry;
  ggml_backend_device device;  // Gantry0
  ggml_backend_device owner;   // of the streaming buffer type
  ggml_backend_buffer_type streamed;
  ggml_backend_buffer_type memory;  // gives buffers of the inner type, or for caches ours
  ggml_backend_buffer_type_t extra_types[2];
  ggml_guid guid;

  StreamOptions options;
  std::unique_ptr<MappedStats> stats;
  std::unique_ptr<Trace> trace;
  std::unique_ptr<ModelSet> models;

  // A context makes its backend, then its caches, then plans graphs: what is allocated in between
  // is a cache.
  std::atomic<bool> caches_next = false;

  std::mutex mutex;  // guards what follows
  std::optional<Inner> inner;
  DeviceBuffer probe;  // empty, of the inner type: what operations are shown in a weight's place
  bool inner_refused = false;
  std::string description;
  std::string summary;
};

Plugin& of(ggml_backend_dev_t device) { return *static_cast<Plugin*>(device->context); }
Plugin& of(ggml_backend_reg_t registry) { return *static_cast<Plugin*>(registry->context); }
Plugin& of(ggml_backend_buffer_t buffer) { return of(buffer->buft->device); }
Store& store_of(ggml_backend_buffer_t buffer) { return *static_cast<Store*>(buffer->context); }
Executor& executor_of(ggml_backend_t backend) { return *static_cast<Executor*>(backend->context); }

// Devices may be registered after us (remote ones are), so the inner one is looked up when needed.
const Inner* inner_of(Plugin& plugin) {
  const std::lock_guard lock(plugin.mutex);
  if (!plugin.inner) {
    auto found = Inner::find(plugin.options.inner, &plugin.registry);
    if (!found) {
      if (!plugin.inner_refused) {
        GGML_LOG_ERROR("gantry: %s\n", describe(found.error()).c_str());
        plugin.inner_refused = true;
      }
      return nullptr;
    }
    plugin.inner = *found;
    plugin.probe = DeviceBuffer(ggml_backend_buft_alloc_buffer(found->memory, 0));
  }
  return &*plugin.inner;
}

// ---- the streaming buffer type and its buffers

// Loaders know the model before we do: tensors are added as they are placed.
ggml_status init_tensor(ggml_backend_buffer_t buffer, ggml_tensor* tensor) {
  if (tensor->view_src != nullptr) return GGML_STATUS_SUCCESS;
  Store& store = store_of(buffer);
  store.add(tensor);
  tensor->extra = store.find(tensor);
  return GGML_STATUS_SUCCESS;
}

void say_goodbye(Plugin& plugin) {
  if (plugin.options.summary && plugin.stats->page().graphs > 0) {
    // Past the program's own log, which may be off.
    const std::lock_guard lock(plugin.mutex);
    const std::string line = plugin.summary + "\n";
    if (write(STDERR_FILENO, line.data(), line.size()) < 0) return;
  }
  if (const auto ok = plugin.trace->write(); !ok) {
    GGML_LOG_ERROR("gantry: %s\n", describe(ok.error()).c_str());
  }
}

void free_buffer(ggml_backend_buffer_t buffer) {
  Plugin& plugin = of(buffer);
  const std::unique_ptr<Store> store(&store_of(buffer));
  {
    // What is unloaded is no longer counted; the summary is of what was.
    const std::lock_guard lock(plugin.mutex);
    if (plugin.stats->page().layers > 0) plugin.summary = stats_summary(plugin.stats->page());
  }
  if (plugin.models->leave(store.get())) say_goodbye(plugin);
}

void* get_base(ggml_backend_buffer_t buffer) { return store_of(buffer).base(); }

void memset_tensor(ggml_backend_buffer_t buffer, ggml_tensor* tensor, uint8_t value, size_t offset,
                   size_t size) {
  const std::vector<uint8_t> bytes(size, value);
  store_of(buffer).write(tensor, bytes.data(), offset, size);
}

void set_tensor(ggml_backend_buffer_t buffer, ggml_tensor* tensor, const void* data, size_t offset,
                size_t size) {
  store_of(buffer).write(tensor, data, offset, size);
}

void get_tensor(ggml_backend_buffer_t buffer, const ggml_tensor* tensor, void* data, size_t offset,
                size_t size) {
  store_of(buffer).read(tensor, data, offset, size);
}

// Loaders clear nothing; contexts clear their caches.
void clear(ggml_backend_buffer_t buffer, uint8_t) { store_of(buffer).clear(); }

ggml_backend_buffer_i buffer_interface() {
  ggml_backend_buffer_i face = {};
  face.free_buffer = free_buffer;
  face.get_base = get_base;
  face.init_tensor = init_tensor;
  face.memset_tensor = memset_tensor;
  face.set_tensor = set_tensor;
  face.get_tensor = get_tensor;
  face.clear = clear;
  return face;
}

ggml_backend_buffer_t wrap(Plugin& plugin, std::unique_ptr<Store> store) {
  const uint64_t size = store->size();
  return ggml_backend_buffer_init(&plugin.streamed, buffer_interface(), store.release(), size);
}

ggml_backend_buffer_t from_host_ptr(ggml_backend_dev_t device, void* pointer, size_t size,
                                    size_t largest) {
  Plugin& plugin = of(device);
  const Inner* inner = inner_of(plugin);
  if (inner == nullptr) return nullptr;
  if (const auto& budget = plugin.options.device_budget; budget && budget->bytes) {
    if (budget->bytes->n < largest) {
      GGML_LOG_ERROR("gantry: a device budget of %s cannot hold the largest weight (it takes at "
                     "least %zuMiB, and the KV cache)\n",
                     format_bytes(*budget->bytes).c_str(), (largest >> 20) + 1);
      return nullptr;
    }
  }
  return wrap(plugin, Store::mapped(static_cast<std::byte*>(pointer), size));
}

ggml_backend_buffer_t alloc_buffer(ggml_backend_buffer_type_t type, size_t size) {
  Plugin& plugin = of(type->device);
  const Inner* inner = inner_of(plugin);
  if (inner == nullptr) return nullptr;
  auto store = Store::filled(size, keeps_loaded_bytes(*inner, plugin.options, size));
  if (!store) {
    GGML_LOG_ERROR("gantry: %s\n", describe(store.error()).c_str());
    return nullptr;
  }
  return wrap(plugin, std::move(*store));
}

ggml_backend_buffer_t alloc_memory(ggml_backend_buffer_type_t type, size_t size) {
  Plugin& plugin = of(type->device);
  const Inner* inner = inner_of(plugin);
  if (inner == nullptr) return nullptr;
  if (!plugin.caches_next) return ggml_backend_buft_alloc_buffer(inner->memory, size);
  auto store = Store::cache(size);
  if (!store) {
    GGML_LOG_ERROR("gantry: %s\n", describe(store.error()).c_str());
    return nullptr;
  }
  return wrap(plugin, std::move(*store));
}

size_t memory_space(ggml_backend_buffer_type_t type, const ggml_tensor* tensor) {
  const Inner* inner = inner_of(of(type->device));
  return inner == nullptr ? ggml_nbytes(tensor) : inner->space(tensor);
}

size_t memory_most(ggml_backend_buffer_type_t type) {
  const Inner* inner = inner_of(of(type->device));
  return inner == nullptr ? SIZE_MAX : ggml_backend_buft_get_max_size(inner->memory);
}

const char* memory_name(ggml_backend_buffer_type_t) { return "Gantry_Memory"; }

const char* type_name(ggml_backend_buffer_type_t) { return "Gantry_Stream"; }

size_t type_alignment(ggml_backend_buffer_type_t type) {
  const Inner* inner = inner_of(of(type->device));
  return inner == nullptr ? 32 : inner->alignment();
}

// Not host memory, although it has addresses: nobody else is to compute with it.
bool type_is_host(ggml_backend_buffer_type_t) { return false; }

// ---- the backend: one for each context

const char* backend_name(ggml_backend_t) { return "Gantry0"; }

void backend_free(ggml_backend_t backend) {
  const std::unique_ptr<Executor> executor(&executor_of(backend));
  const std::unique_ptr<ggml_backend> self(backend);
}

void backend_set_async(ggml_backend_t backend, ggml_tensor* tensor, const void* data, size_t offset,
                       size_t size) {
  ggml_backend_tensor_set_async(executor_of(backend).backend(), tensor, data, offset, size);
}

void backend_get_async(ggml_backend_t backend, const ggml_tensor* tensor, void* data, size_t offset,
                       size_t size) {
  ggml_backend_tensor_get_async(executor_of(backend).backend(), tensor, data, offset, size);
}

void backend_synchronize(ggml_backend_t backend) {
  ggml_backend_synchronize(executor_of(backend).backend());
}

ggml_status backend_compute(ggml_backend_t backend, ggml_cgraph* graph) {
  return executor_of(backend).compute(graph);
}

void backend_event_record(ggml_backend_t backend, ggml_backend_event_t event) {
  ggml_backend_event_record(event, executor_of(backend).backend());
}

void backend_event_wait(ggml_backend_t backend, ggml_backend_event_t event) {
  ggml_backend_event_wait(executor_of(backend).backend(), event);
}

void backend_optimize(ggml_backend_t backend, ggml_cgraph* graph,
                      ggml_backend_graph_optimize_params* params) {
  ggml_backend_t inner = executor_of(backend).backend();
  if (inner->iface.graph_optimize != nullptr) inner->iface.graph_optimize(inner, graph, params);
}

ggml_backend_i backend_interface(const Inner& inner, ggml_backend_t computing) {
  ggml_backend_i face = {};
  face.get_name = backend_name;
  face.free = backend_free;
  face.synchronize = backend_synchronize;
  face.graph_compute = backend_compute;
  face.graph_optimize = backend_optimize;
  if (computing->iface.set_tensor_async != nullptr) face.set_tensor_async = backend_set_async;
  if (computing->iface.get_tensor_async != nullptr) face.get_tensor_async = backend_get_async;
  if (inner.events) {
    face.event_record = backend_event_record;
    face.event_wait = backend_event_wait;
  }
  return face;
}

// ---- the devices

const char* device_name(ggml_backend_dev_t device) {
  return device == &of(device).device ? "Gantry0" : "GantryStore";
}

const char* device_description(ggml_backend_dev_t device) {
  Plugin& plugin = of(device);
  const Inner* inner = inner_of(plugin);
  if (inner == nullptr) return "weights streamed (no inner device)";
  const std::lock_guard lock(plugin.mutex);
  if (plugin.description.empty()) {
    plugin.description = std::string("weights streamed to ") +
                         ggml_backend_dev_description(inner->device);
  }
  return plugin.description.c_str();
}

// What a planner that does not know of streaming may use.
void device_memory(ggml_backend_dev_t device, size_t* free, size_t* total) {
  Plugin& plugin = of(device);
  *free = *total = 0;
  const Inner* inner = inner_of(plugin);
  if (inner == nullptr) return;
  ggml_backend_dev_memory(inner->device, free, total);
  if (const auto& budget = plugin.options.device_budget) {
    const uint64_t most = budget->of({*total}).n;
    const auto& page = plugin.stats->page();
    const uint64_t held = page.resident_bytes + page.ring_bytes + page.expert_cache_bytes +
                          page.kv_compute_bytes;
    *free = std::min<size_t>(*free, most - std::min(most, held));
    *total = std::min<size_t>(*total, most);
  }
}

enum ggml_backend_dev_type device_type(ggml_backend_dev_t) { return GGML_BACKEND_DEVICE_TYPE_GPU; }

void device_props(ggml_backend_dev_t device, ggml_backend_dev_props* props) {
  *props = {};
  const Inner* inner = inner_of(of(device));
  if (inner != nullptr) ggml_backend_dev_get_props(inner->device, props);
  props->name = device_name(device);
  props->description = device_description(device);
  props->type = device_type(device);
  device_memory(device, &props->memory_free, &props->memory_total);
  props->caps.mmap_support = true;  // a mapped file tells where its bytes are
  props->caps.buffer_from_host_ptr = device != &of(device).device;
}

// Caches in host memory make sense beside a device of its own memory only.
bool wants_cache_home(const Plugin& plugin, const Inner& inner) {
  return plugin.options.kv == CacheHome::kHost && !inner.host;
}

ggml_backend_t device_init(ggml_backend_dev_t device, const char* params) {
  Plugin& plugin = of(device);
  const Inner* inner = inner_of(plugin);
  if (inner == nullptr) return nullptr;
  ggml_backend_t computing = ggml_backend_dev_init(inner->device, params);
  if (computing == nullptr) return nullptr;
  plugin.caches_next = wants_cache_home(plugin, *inner);
  auto executor = std::make_unique<Executor>(*inner, computing, *plugin.models,
                                             &plugin.streamed);
  const ggml_backend face = {&plugin.guid, backend_interface(*inner, computing), device,
                             executor.release()};
  return std::make_unique<ggml_backend>(face).release();
}

ggml_backend_buffer_type_t device_buffer_type(ggml_backend_dev_t device) {
  Plugin& plugin = of(device);
  if (device != &plugin.device) return &plugin.streamed;
  const Inner* inner = inner_of(plugin);
  if (inner != nullptr) return wants_cache_home(plugin, *inner) ? &plugin.memory : inner->memory;
  return ggml_backend_dev_buffer_type(ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU));
}

ggml_backend_buffer_type_t device_host_buffer_type(ggml_backend_dev_t device) {
  const Inner* inner = inner_of(of(device));
  return inner == nullptr ? nullptr : ggml_backend_dev_host_buffer_type(inner->device);
}

// Loaders show one operation with a weight in an empty buffer of a type and take the first type for
// which the device says yes: we refuse weights in plain inner memory, and they come to ours.
// Caches of a model that is only measured lie in empty buffers too.
bool is_weight_probe(const ggml_tensor* root, ggml_backend_buffer_type_t inner) {
  return root->buffer != nullptr && root->buffer->size == 0 && root->buffer->buft == inner &&
         std::strncmp(root->name, "cache_", 6) != 0;
}

// Graphs are in memory that was planned or allocated; a loader's question is not.
bool asked_by_loader(const ggml_tensor& op) {
  for (const ggml_tensor* source : op.src) {
    if (source != nullptr && source->buffer != nullptr && source->buffer->size == 0) return true;
  }
  return false;
}

bool device_supports_op(ggml_backend_dev_t device, const ggml_tensor* op) {
  Plugin& plugin = of(device);
  const Inner* inner = inner_of(plugin);
  if (inner == nullptr) return false;
  ggml_tensor shown = *op;
  ggml_tensor sources[GGML_MAX_SRC];
  for (int i = 0; i < GGML_MAX_SRC; i++) {
    const ggml_tensor* source = op->src[i];
    if (source == nullptr) continue;
    const ggml_tensor* root = source->view_src != nullptr ? source->view_src : source;
    const bool probe = is_weight_probe(root, inner->memory) ||
                       is_weight_probe(root, &plugin.memory);
    if (probe) return false;
    if (root->buffer == nullptr || root->buffer->buft != &plugin.streamed) continue;
    sources[i] = *source;
    sources[i].buffer = plugin.probe.get();
    sources[i].view_src = nullptr;
    sources[i].extra = nullptr;
    shown.src[i] = &sources[i];
  }
  if (!asked_by_loader(*op)) plugin.caches_next = false;
  if (shown.buffer != nullptr && shown.buffer->buft == &plugin.streamed) {
    shown.buffer = plugin.probe.get();
  }
  return ggml_backend_dev_supports_op(inner->device, &shown);
}

bool device_supports_type(ggml_backend_dev_t device, ggml_backend_buffer_type_t type) {
  Plugin& plugin = of(device);
  const Inner* inner = inner_of(plugin);
  return type == &plugin.streamed || type == &plugin.memory ||
         (inner != nullptr && ggml_backend_dev_supports_buft(inner->device, type));
}

bool device_offload_op(ggml_backend_dev_t device, const ggml_tensor* op) {
  const Inner* inner = inner_of(of(device));
  return inner != nullptr && ggml_backend_dev_offload_op(inner->device, op);
}

ggml_backend_event_t device_event_new(ggml_backend_dev_t device) {
  const Inner* inner = inner_of(of(device));
  return inner == nullptr || !inner->events ? nullptr : ggml_backend_event_new(inner->device);
}

void device_event_free(ggml_backend_dev_t, ggml_backend_event_t event) {
  ggml_backend_event_free(event);
}

void device_event_synchronize(ggml_backend_dev_t, ggml_backend_event_t event) {
  ggml_backend_event_synchronize(event);
}

ggml_backend_device_i device_interface(bool owner) {
  ggml_backend_device_i face = {};
  face.get_name = device_name;
  face.get_description = device_description;
  face.get_memory = device_memory;
  face.get_type = device_type;
  face.get_props = device_props;
  face.init_backend = device_init;
  face.get_buffer_type = device_buffer_type;
  face.get_host_buffer_type = device_host_buffer_type;
  face.supports_op = device_supports_op;
  face.supports_buft = device_supports_type;
  face.offload_op = device_offload_op;
  face.event_new = device_event_new;
  face.event_free = device_event_free;
  face.event_synchronize = device_event_synchronize;
  if (owner) face.buffer_from_host_ptr = from_host_ptr;
  return face;
}

// ---- the registry

const char* registry_name(ggml_backend_reg_t) { return "Gantry"; }
size_t registry_count(ggml_backend_reg_t) { return 1; }
ggml_backend_dev_t registry_device(ggml_backend_reg_t registry, size_t) {
  return &of(registry).device;
}

ggml_backend_buffer_type_t* extra_types(ggml_backend_dev_t device) {
  return of(device).extra_types;
}

// What the inner device's library offers by name, called for its own backend.
template <class Function>
Function inner_function(ggml_backend_t backend, const char* name) {
  ggml_backend_reg_t registry =
      ggml_backend_dev_backend_reg(ggml_backend_get_device(executor_of(backend).backend()));
  return reinterpret_cast<Function>(ggml_backend_reg_get_proc_address(registry, name));
}

void set_threads(ggml_backend_t backend, int threads) {
  const auto function =
      inner_function<ggml_backend_set_n_threads_t>(backend, "ggml_backend_set_n_threads");
  if (function != nullptr) function(executor_of(backend).backend(), threads);
  executor_of(backend).set_threads(threads);
}

void set_abort(ggml_backend_t backend, ggml_abort_callback callback, void* data) {
  const auto function =
      inner_function<ggml_backend_set_abort_callback_t>(backend, "ggml_backend_set_abort_callback");
  if (function != nullptr) function(executor_of(backend).backend(), callback, data);
}

// Writes at most `size` bytes, NUL included, and returns the length it wanted.
size_t statistics(ggml_backend_reg_t registry, char* out, size_t size) {
  const std::string json = stats_json(of(registry).stats->page());
  if (size > 0) {
    const size_t length = std::min(size - 1, json.size());
    std::memcpy(out, json.data(), length);
    out[length] = '\0';
  }
  return json.size();
}

void* registry_function(ggml_backend_reg_t, const char* name) {
  const std::string_view wanted = name;
  if (wanted == "ggml_backend_dev_get_extra_bufts") return reinterpret_cast<void*>(extra_types);
  if (wanted == "ggml_backend_set_n_threads") return reinterpret_cast<void*>(set_threads);
  if (wanted == "ggml_backend_set_abort_callback") return reinterpret_cast<void*>(set_abort);
  if (wanted == "gantry_stream_statistics") return reinterpret_cast<void*>(statistics);
  return nullptr;
}

// Null, with the reason in the log: the program goes on without us.
ggml_backend_reg_t start() {
  if (std::string_view(ggml_version()) != GANTRY_GGML_VERSION) {
    GGML_LOG_ERROR("gantry: this plugin was built for ggml %s, the program has %s (use the plugin "
                   "that came with it)\n",
                   GANTRY_GGML_VERSION, ggml_version());
    return nullptr;
  }
  const auto options = options_from_environment();
  if (!options) {
    GGML_LOG_ERROR("gantry: %s\n", describe(options.error()).c_str());
    return nullptr;
  }
  auto stats = MappedStats::make(options->stats_file);
  if (!stats) {
    GGML_LOG_ERROR("gantry: %s\n", describe(stats.error()).c_str());
    return nullptr;
  }
  // For the life of the process, as ggml keeps registries.
  auto* plugin = std::make_unique<Plugin>().release();
  plugin->options = *options;
  plugin->stats = std::make_unique<MappedStats>(std::move(*stats));
  plugin->trace = std::make_unique<Trace>(options->trace_file);
  plugin->models = std::make_unique<ModelSet>(plugin->options, plugin->stats->page(),
                                              *plugin->trace, &plugin->streamed);
  std::memcpy(plugin->guid, "gantry-streamer1", sizeof plugin->guid);
  plugin->registry = {GGML_BACKEND_API_VERSION,
                      {registry_name, registry_count, registry_device, registry_function},
                      plugin};
  plugin->device = {device_interface(false), &plugin->registry, plugin};
  plugin->owner = {device_interface(true), &plugin->registry, plugin};
  plugin->streamed = {{type_name, alloc_buffer, type_alignment, nullptr, nullptr, type_is_host},
                      &plugin->owner,
                      nullptr};
  plugin->memory = {{memory_name, alloc_memory, type_alignment, memory_most, memory_space,
                     type_is_host},
                    &plugin->device,
                    nullptr};
  plugin->extra_types[0] = &plugin->streamed;
  plugin->extra_types[1] = nullptr;
  return &plugin->registry;
}

}  // namespace
}  // namespace gantry

// The only symbol of the library.
extern "C" __attribute__((visibility("default"))) ggml_backend_reg_t ggml_backend_init(void) {
  // Programs load it more than once; they all get the same device.
  static const ggml_backend_reg_t registry = gantry::start();
  return registry;
}
