// Finding the file behind the weights.
#include "stream/store.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <utility>

#include "base/bytes.h"
#include "ggml-backend.h"
#include "gguf.h"
#include "stream/model.h"

namespace gantry {
namespace {

// Compared against the file before it is believed to be the source of what a loader hands over.
constexpr uint64_t kSampleBytes = 4096;

struct Mapping {
  std::string path;
  uint64_t offset = 0;  // of the address in the file
  uint64_t inode = 0;
};

std::optional<Mapping> mapping_of(const std::byte* address) {
  const auto wanted = reinterpret_cast<uintptr_t>(address);
  std::ifstream maps("/proc/self/maps");
  std::string line;
  while (std::getline(maps, line)) {
    uintptr_t from = 0, to = 0;
    uint64_t offset = 0, inode = 0;
    int path_at = 0;
    if (std::sscanf(line.c_str(), "%" SCNxPTR "-%" SCNxPTR " %*s %" SCNx64 " %*s %" SCNu64 " %n",
                    &from, &to, &offset, &inode, &path_at) < 4) {
      continue;
    }
    if (wanted < from || wanted >= to) continue;
    if (inode == 0 || path_at == 0) return std::nullopt;
    return Mapping{line.substr(static_cast<size_t>(path_at)), offset + (wanted - from), inode};
  }
  return std::nullopt;
}

std::optional<std::string> regular_file_of(const std::string& descriptor) {
  const std::string link = "/proc/self/fd/" + descriptor;
  struct stat facts = {};
  if (stat(link.c_str(), &facts) != 0 || !S_ISREG(facts.st_mode)) return std::nullopt;
  std::string path(4096, '\0');
  const ssize_t length = readlink(link.c_str(), path.data(), path.size());
  if (length <= 0 || static_cast<size_t>(length) >= path.size()) return std::nullopt;
  path.resize(static_cast<size_t>(length));
  std::ifstream file(path, std::ios::binary);
  char magic[4] = {};
  if (!file.read(magic, 4) || std::memcmp(magic, "GGUF", 4) != 0) return std::nullopt;
  return path;
}

bool file_has(const std::string& path, uint64_t offset, const std::byte* data, uint64_t bytes) {
  std::ifstream file(path, std::ios::binary);
  std::vector<char> sample(std::min(bytes, kSampleBytes));
  for (const uint64_t at : {uint64_t{0}, bytes - sample.size()}) {
    file.seekg(static_cast<std::streamoff>(offset + at));
    if (!file.read(sample.data(), static_cast<std::streamsize>(sample.size()))) return false;
    if (std::memcmp(sample.data(), data + at, sample.size()) != 0) return false;
  }
  return true;
}

}  // namespace

// Names of a GGUF file and where their bytes are.
struct Store::FileIndex {
  std::string path;
  size_t file = SIZE_MAX;  // in files_, once something was recognised in it
  struct Extent {
    uint64_t offset = 0, bytes = 0;
  };
  std::unordered_map<std::string, Extent> extents;
};

std::optional<uint32_t> layer_of(const std::string& name) {
  const bool cache = name.starts_with("cache_");
  const auto at = cache ? name.find("_l", 6) : name.find("blk.");
  if (at == std::string::npos) return std::nullopt;
  uint32_t layer = 0;
  const char* last = name.data() + name.size();
  const auto [end, error] = std::from_chars(name.data() + at + (cache ? 2 : 4), last, layer);
  if (error != std::errc() || (cache ? end != last : end == last || *end != '.')) {
    return std::nullopt;
  }
  return layer;
}

std::unique_ptr<Store> Store::mapped(std::byte* base, uint64_t size) {
  std::unique_ptr<Store> store(new Store);
  store->base_ = base;
  store->size_ = size;
  store->mapped_ = true;
  if (const auto mapping = mapping_of(base)) {
    auto file = open_direct(mapping->path);
    if (file && file->identity().inode == mapping->inode) {
      store->file_base_ = mapping->offset;
      store->files_.push_back(std::move(*file));
    }
  }
  return store;
}

Result<std::unique_ptr<Store>> Store::filled(uint64_t size, bool keep) {
  std::unique_ptr<Store> store(new Store);
  void* at = mmap(nullptr, std::max<uint64_t>(size, 1), PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED && errno == ENOMEM) {
    return fail(Code::kDoesNotFit, "no addresses for " + format_bytes({size}) + " of weights");
  }
  if (at == MAP_FAILED) return fail(os_error("reserving addresses for weights", errno));
  store->base_ = static_cast<std::byte*>(at);
  store->size_ = size;
  store->keep_ = keep;
  return store;
}

Result<std::unique_ptr<Store>> Store::cache(uint64_t size) {
  auto store = filled(size, true);
  if (store) (*store)->cache_ = true;
  return store;
}

Store::~Store() {
  if (!mapped_ && base_ != nullptr) munmap(base_, std::max<uint64_t>(size_, 1));
}

void Store::add(ggml_tensor* tensor) {
  Weight& weight = weights_.emplace_back();
  weight.store = this;
  weight.tensor = tensor;
  weight.bytes = ggml_nbytes(tensor);
  weight.layer = layer_of(tensor->name);
  const auto at = static_cast<const std::byte*>(tensor->data);
  if (mapped_ && !files_.empty()) {
    weight.source = {0, file_base_ + static_cast<uint64_t>(at - base_), at};
  } else {
    weight.source = {-1, 0, at};
  }
  by_tensor_[tensor] = &weight;
}

Weight* Store::find(const ggml_tensor* tensor) {
  const auto at = by_tensor_.find(tensor);
  return at == by_tensor_.end() ? nullptr : at->second;
}

bool Store::in_memory() const {
  return mapped_ || std::all_of(weights_.begin(), weights_.end(), [](const Weight& weight) {
           return weight.source.file < 0;
         });
}

// Another context of the model may be moving caches about; contexts do not do so themselves between
// their graphs.
std::unique_lock<std::mutex> Store::cache_turn() const {
  if (!cache_ || model == nullptr) return {};
  return std::unique_lock(model->turn());
}

// Of a view, the weight it is a view of.
Weight* Store::behind(const ggml_tensor* tensor, uint64_t& offset) {
  const ggml_tensor* root = tensor->view_src != nullptr ? tensor->view_src : tensor;
  offset += static_cast<uint64_t>(static_cast<const std::byte*>(tensor->data) -
                                  static_cast<const std::byte*>(root->data));
  return find(root);
}

void Store::write(const ggml_tensor* tensor, const void* data, uint64_t offset, uint64_t bytes) {
  const auto turn = cache_turn();
  Weight* weight = behind(tensor, offset);
  if (weight == nullptr) return;
  if (!keep_ && offset == 0 && bytes == weight->bytes && recognise(*weight, data)) return;
  if (cache_ && weight->place == Weight::Place::kResident) {
    ggml_backend_tensor_set(&weight->clone, data, offset, bytes);
    return;
  }
  // A part of what rests in a file: all of it is in memory from now on.
  if (!mapped_ && weight->source.file >= 0) {
    read_source(*weight, weight->tensor->data, 0, weight->bytes);
  }
  auto* memory = static_cast<std::byte*>(weight->tensor->data);
  const auto change = [&] { std::memcpy(memory + offset, data, bytes); };
  if (cache_ && model != nullptr) {
    model->rewrite(*weight, change);
  } else {
    change();
  }
  weight->source = {-1, 0, memory};
}

void Store::read(const ggml_tensor* tensor, void* data, uint64_t offset, uint64_t bytes) {
  const auto turn = cache_turn();
  const Weight* weight = behind(tensor, offset);
  if (weight == nullptr) return;
  if (cache_ && weight->place == Weight::Place::kResident) {
    ggml_backend_tensor_get(&weight->clone, data, offset, bytes);
    return;
  }
  read_source(*weight, data, offset, bytes);
}

void Store::read_source(const Weight& weight, void* data, uint64_t offset, uint64_t bytes) const {
  const Source& source = weight.source;
  if (source.file >= 0 && !mapped_) {
    // By descriptor: the name may stand for another file by now.
    const int fd = files_[static_cast<size_t>(source.file)].fd();
    std::ifstream file("/proc/self/fd/" + std::to_string(fd), std::ios::binary);
    file.seekg(static_cast<std::streamoff>(source.offset + offset));
    if (file.read(static_cast<char*>(data), static_cast<std::streamsize>(bytes))) return;
  }
  std::memcpy(data, static_cast<const std::byte*>(weight.tensor->data) + offset, bytes);
}

void Store::clear() {
  if (!cache_) return;
  for (Weight& weight : weights_) {
    const std::vector<std::byte> zeros(weight.bytes);
    write(weight.tensor, zeros.data(), 0, zeros.size());
  }
}

const Store::FileIndex* Store::index_of_open_file(const std::string& name, uint64_t bytes) {
  for (const auto& index : indexes_) {
    const auto at = index->extents.find(name);
    if (at != index->extents.end() && at->second.bytes == bytes) return index.get();
  }
  DIR* folder = opendir("/proc/self/fd");
  if (folder == nullptr) return nullptr;
  std::vector<std::string> paths;
  while (const dirent* entry = readdir(folder)) {
    if (auto path = regular_file_of(entry->d_name)) paths.push_back(std::move(*path));
  }
  closedir(folder);
  for (const auto& path : paths) {
    const bool known = std::any_of(indexes_.begin(), indexes_.end(),
                                   [&](const auto& index) { return index->path == path; });
    if (known) continue;
    gguf_context* file = gguf_init_from_file(path.c_str(), {true, nullptr});
    if (file == nullptr) continue;
    auto index = std::make_unique<FileIndex>();
    index->path = path;
    for (int64_t i = 0; i < gguf_get_n_tensors(file); i++) {
      index->extents[gguf_get_tensor_name(file, i)] = {
          gguf_get_data_offset(file) + gguf_get_tensor_offset(file, i),
          gguf_get_tensor_size(file, i)};
    }
    gguf_free(file);
    indexes_.push_back(std::move(index));
  }
  for (const auto& index : indexes_) {
    const auto at = index->extents.find(name);
    if (at != index->extents.end() && at->second.bytes == bytes) return index.get();
  }
  return nullptr;
}

bool Store::recognise(Weight& weight, const void* data) {
  const auto* found = index_of_open_file(weight.tensor->name, weight.bytes);
  if (found == nullptr || weight.bytes == 0) return false;
  const auto extent = found->extents.at(weight.tensor->name);
  if (!file_has(found->path, extent.offset, static_cast<const std::byte*>(data), weight.bytes)) {
    return false;
  }
  auto* index = const_cast<FileIndex*>(found);
  if (index->file == SIZE_MAX) {
    auto file = open_direct(index->path);
    if (!file) return false;
    index->file = files_.size();
    files_.push_back(std::move(*file));
  }
  weight.source = {static_cast<int>(index->file), extent.offset, nullptr};
  return true;
}

void Store::drop_mapping() const {
  if (!mapped_ || files_.empty()) return;  // the only copy otherwise
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto from = (reinterpret_cast<uintptr_t>(base_) + page - 1) & ~(page - 1);
  const auto to = (reinterpret_cast<uintptr_t>(base_) + size_) & ~(page - 1);
  if (from >= to) return;
  madvise(reinterpret_cast<void*>(from), to - from, MADV_DONTNEED);
  madvise(reinterpret_cast<void*>(from), to - from, MADV_RANDOM);
  posix_fadvise(files_[0].fd(), static_cast<off_t>(file_base_), static_cast<off_t>(size_),
                POSIX_FADV_DONTNEED);
}

}  // namespace gantry
