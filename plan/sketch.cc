// ggml-alloc.c and ggml-backend.cpp, in sizes.
#include "plan/sketch.h"

#include <algorithm>

namespace gantry {

namespace {

constexpr uint64_t kAcceleratorAlign = 128, kHostAlign = 32;
// Batches of fewer tokens are computed where the weights are (GGML_OP_OFFLOAD_MIN_BATCH).
constexpr uint64_t kOffloadBatch = 32;

uint64_t rounded(uint64_t bytes, uint64_t step) { return (bytes + step - 1) / step * step; }

}  // namespace

// One buffer while it is planned: free blocks in the order of their offsets, the last one endless.
class Sketch::Arena {
 public:
  explicit Arena(uint64_t align) : align_(align) {}

  uint64_t take(uint64_t bytes) {
    bytes = rounded(bytes, align_);
    size_t best = free_.size() - 1;
    uint64_t smallest = UINT64_MAX;
    for (size_t i = 0; i + 1 < free_.size(); ++i) {
      if (free_[i].size >= bytes && free_[i].size <= smallest) {
        best = i;
        smallest = free_[i].size;
      }
    }
    const uint64_t offset = free_[best].offset;
    free_[best].offset += bytes;
    free_[best].size -= bytes;
    if (free_[best].size == 0) free_.erase(free_.begin() + static_cast<ptrdiff_t>(best));
    most_ = std::max(most_, offset + bytes);
    return offset;
  }
  // Joins the first neighbour in the list, and that one with the next: empty blocks stay apart.
  void give(uint64_t offset, uint64_t bytes) {
    bytes = rounded(bytes, align_);
    for (size_t i = 0; i < free_.size(); ++i) {
      Block& block = free_[i];
      if (block.end() == offset) {
        block.size += bytes;
        if (i + 1 < free_.size() && block.end() == free_[i + 1].offset) join(i);
        return;
      }
      if (offset + bytes == block.offset) {
        block.offset = offset;
        block.size += bytes;
        if (i > 0 && free_[i - 1].end() == block.offset) join(i - 1);
        return;
      }
    }
    free_.insert(std::ranges::lower_bound(free_, offset, {}, &Block::offset), {offset, bytes});
  }
  // What a smaller result in a larger one's place leaves over.
  void trim(uint64_t offset, uint64_t was, uint64_t is) {
    was = rounded(was, align_);
    is = rounded(is, align_);
    if (was > is) give(offset + is, was - is);
  }
  uint64_t most() const { return most_; }

 private:
  struct Block {
    uint64_t offset, size;
    uint64_t end() const { return offset + size; }
  };
  void join(size_t i) {
    free_[i].size += free_[i + 1].size;
    free_.erase(free_.begin() + static_cast<ptrdiff_t>(i) + 1);
  }
  uint64_t align_;
  uint64_t most_ = 0;
  std::vector<Block> free_ = {{0, UINT64_MAX / 2}};
};

struct Sketch::Live {
  int children = 0, views = 0, device = 0;
  uint64_t offset = 0;
  bool allocated = false, ever = false;
};

uint64_t Sketch::Dims::count() const {
  uint64_t out = 1;
  for (const uint64_t side : {a, b, c, d}) {
    if (side != 0 && out > kSketchMost / side) return kSketchMost;
    out *= side;
  }
  return out;
}

void Sketch::expect(size_t layers) {
  constexpr size_t kNodes = 96, kBeside = 64;  // of a layer with copies of its weights; of the rest
  nodes_.reserve(layers * kNodes + kBeside);
  order_.reserve(layers * kNodes + kBeside);
}

Sketch::Id Sketch::add(Node node, std::initializer_list<Id> sources) {
  for (const Id source : sources) {
    if (source != kNone) node.sources[node.count++] = source;
  }
  if (node.bytes == 0) node.bytes = node.dims.count() * node.element;
  node.bytes = std::min(node.bytes, kSketchMost);
  if (node.batch == 0) node.batch = node.dims.b * node.dims.c * node.dims.d;
  nodes_.push_back(node);
  return static_cast<Id>(nodes_.size()) - 1;
}

Sketch::Id Sketch::weight(uint32_t device, uint64_t bytes) {
  return add({.bytes = bytes, .role = Role::kWeight, .device = static_cast<int>(device)}, {});
}

Sketch::Id Sketch::cache(uint32_t device, uint64_t bytes) {
  return add({.bytes = bytes, .role = Role::kCache, .device = static_cast<int>(device)}, {});
}

Sketch::Id Sketch::input(Dims dims, uint32_t element_bytes) {
  return add({.dims = dims, .role = Role::kInput, .element = element_bytes}, {});
}

Sketch::Id Sketch::op(Dims dims, std::initializer_list<Id> sources, uint32_t element_bytes) {
  return add({.dims = dims, .element = element_bytes}, sources);
}

Sketch::Id Sketch::in_place(Dims dims, std::initializer_list<Id> sources) {
  return add({.dims = dims, .reuses = true}, sources);
}

Sketch::Id Sketch::rope(Id of, Id positions) {
  return add({.dims = dims(of), .reuses = true, .drawn = false}, {of, positions});
}

Sketch::Id Sketch::flash(Dims dims, std::initializer_list<Id> sources, uint64_t extra_bytes) {
  return add({.dims = dims, .bytes = dims.count() * kF32 + extra_bytes, .drawn = false}, sources);
}

Sketch::Id Sketch::cast(Id of, uint32_t element_bytes) {
  return add({.dims = dims(of), .element = element_bytes}, {of});
}

Sketch::Id Sketch::matrix(Id weight, Id of, uint64_t rows) {
  const Dims& from = dims(of);
  return add({.dims = {rows, from.b, from.c, from.d}, .batch = from.b}, {weight, of});
}

Sketch::Id Sketch::experts(Id weight, Id of, Id chosen, Dims dims) {
  return add({.dims = dims, .batch = dims.c}, {weight, of, chosen});
}

Sketch::Id Sketch::rows(Dims dims, Id table, Id chosen) {
  return add({.dims = dims, .batch = 1}, {table, chosen});
}

Sketch::Id Sketch::store(Id into, Id what, Id where) {
  const Id root = at(into).root == kNone ? into : at(into).root;
  return add({.dims = dims(into), .bytes = at(into).bytes, .root = root}, {what, where, into});
}

// As many bytes as lie between its first and its last element: of a part of every row nearly as
// many as of the whole.
Sketch::Id Sketch::view(Id of, Dims dims, bool strided) {
  const Node& from = at(of);
  const Id root = from.root == kNone ? of : from.root;
  uint64_t bytes = from.bytes;
  if (dims.count() != from.dims.count() && at(root).role != Role::kCache) {
    bytes = dims.count() * from.element;
    const uint64_t rows = from.dims.count() / std::max<uint64_t>(from.dims.a, 1);
    if (strided && rows > 0 && dims.count() % rows == 0) {
      bytes = ((rows - 1) * from.dims.a + dims.count() / rows) * from.element;
    }
  }
  return add({.dims = dims, .bytes = bytes, .role = Role::kView, .strided = strided,
              .element = from.element, .root = root}, {of});
}

std::span<const Sketch::Id> Sketch::sources(Id id) const {
  const Node& node = nodes_[static_cast<size_t>(id)];
  return {node.sources.data(), node.count};
}

// Depth first, operands from left to right.
void Sketch::expand(Id id) {
  if (id == kNone || at(id).seen) return;
  at(id).seen = true;
  for (const Id source : sources(id)) expand(source);
  const Role role = at(id).role;
  if (role == Role::kInput) leaves_.push_back(id);
  if (role == Role::kOp || role == Role::kView) order_.push_back(id);
}

void Sketch::pin(Id id, uint32_t device) { at(id).device = static_cast<int>(device); }
void Sketch::keep(Id id) { at(id).output = true; }

bool Sketch::outside(Id id) const {
  const Node& node = nodes_[static_cast<size_t>(id)];
  const Id root = node.root == kNone ? id : node.root;
  const Role role = nodes_[static_cast<size_t>(root)].role;
  return role == Role::kWeight || role == Role::kCache;
}

// Where a node must be, or would like to be, before its neighbours are looked at; -1: anywhere.
int Sketch::home(Id id, const SketchDevices& devices) const {
  const int cpu = static_cast<int>(devices.count) - 1;
  const Node& node = nodes_[static_cast<size_t>(id)];
  if (node.device != -1) return node.device;
  if (node.role == Role::kInput) return cpu;
  if (outside(id)) return nodes_[static_cast<size_t>(node.root)].device;
  if (!node.drawn) return -1;
  for (const Id source : sources(id)) {
    const Node& operand = nodes_[static_cast<size_t>(source)];
    if (operand.role != Role::kWeight) continue;
    const bool sent = operand.device == cpu && devices.offload && node.batch >= kOffloadBatch;
    return sent && cpu > 0 ? 0 : operand.device;
  }
  return -1;
}

// Gives a device to nodes that have none from the one before (or behind) them.
void Sketch::spread(bool up, bool to_cpu, int cpu) {
  int current = -1;
  for (size_t i = 0; i < order_.size(); ++i) {
    Node& node = at(order_[up ? order_.size() - 1 - i : i]);
    if (node.role == Role::kView) continue;
    if (node.device == -1) {
      node.device = current;
    } else {
      current = node.device == cpu && !to_cpu ? -1 : node.device;
    }
  }
}

void Sketch::assign(const SketchDevices& devices) {
  const int cpu = static_cast<int>(devices.count) - 1;
  for (const Id id : leaves_) at(id).device = home(id, devices);
  for (const Id id : order_) at(id).device = home(id, devices);
  spread(false, false, cpu);
  spread(true, false, cpu);
  spread(false, true, cpu);
  spread(true, true, cpu);
  for (const Id id : order_) {
    Node& node = at(id);
    if (node.root != kNone && node.device == -1) node.device = at(node.root).device;
    for (const Id source : sources(id)) {
      Node& operand = at(source);
      if (operand.device != -1) continue;
      operand.device = operand.root != kNone ? at(operand.root).device : node.device;
    }
    if (node.device == -1) node.device = 0;
  }
}

// The operand as a split's device sees it.
Sketch::Id Sketch::copied(Id id, int device, const SketchDevices& devices, Split* split) {
  auto& copies = copies_[static_cast<size_t>(device)];
  if (copies.size() < nodes_.size()) copies.resize(nodes_.capacity() + 1, kNone);
  Id& copy = copies[static_cast<size_t>(id)];
  if (copy != kNone) return copy;
  const Node from = at(id);
  for (uint32_t i = 0; i < devices.copies; ++i) {
    const Id made = add({.dims = from.dims, .bytes = from.bytes, .role = Role::kCopy,
                         .strided = from.strided, .output = devices.copies > 1,
                         .element = from.element, .device = device}, {});
    if (i == 0) {
      copy = made;
    } else {
      spare_.push_back(made);
    }
  }
  split->inputs.push_back(id);
  return copy;
}

// Consecutive nodes of one device; a host weight that has to be copied starts anew, so that the
// copies before it can be given up.
std::vector<Sketch::Split> Sketch::cut(const SketchDevices& devices) {
  copies_.assign(devices.count, {});
  std::vector<Split> splits;
  for (size_t i = 0; i < order_.size(); ++i) {
    const Id id = order_[i];
    if (at(id).role == Role::kView) continue;
    const int device = at(id).device;
    bool fresh = splits.empty() || device != splits.back().device;
    if (!fresh && !splits.back().inputs.empty()) {
      fresh = std::ranges::any_of(sources(id), [&](Id source) {
        return at(source).role == Role::kWeight && at(source).device != device;
      });
    }
    if (fresh) {
      if (!splits.empty()) splits.back().end = i;
      splits.push_back({device, splits.empty() ? 0 : i, 0, {}});
    }
    for (size_t j = 0; j < at(id).count; ++j) {
      const Id source = at(id).sources[j];
      if (at(source).device == device) continue;
      const Id copy = copied(source, device, devices, &splits.back());
      at(id).sources[j] = copy;
    }
  }
  if (!splits.empty()) splits.back().end = order_.size();
  return splits;
}

std::vector<Sketch::Step> Sketch::steps(const std::vector<Split>& splits) {
  std::vector<Step> out;
  for (const Split& split : splits) {
    for (const Id input : split.inputs) {
      out.push_back({input, at(input).device, true});
      out.push_back({copies_[static_cast<size_t>(split.device)][static_cast<size_t>(input)],
                     split.device});
    }
    for (size_t i = split.begin; i < split.end; ++i) {
      out.push_back({order_[i], at(order_[i]).device});
    }
  }
  return out;
}

void Sketch::allocate(Id id, int device, std::vector<Live>* live, std::vector<Arena>* arenas) {
  const Node& node = at(id);
  Live& own = (*live)[static_cast<size_t>(id)];
  if (own.allocated || own.ever || node.root != kNone || outside(id)) return;
  own.allocated = own.ever = true;
  for (const Id source : node.reuses ? sources(id) : std::span<const Id>{}) {
    const Node& parent = at(source);
    Live& theirs = (*live)[static_cast<size_t>(source)];
    // Views are never taken over, although ggml's code has a branch for it.
    if (!theirs.allocated || parent.output || theirs.children != 1 || theirs.views != 0) continue;
    if (parent.dims != node.dims || parent.element != node.element) continue;
    own.device = theirs.device;
    own.offset = theirs.offset;
    theirs.allocated = false;
    (*arenas)[static_cast<size_t>(own.device)].trim(own.offset, parent.bytes, node.bytes);
    return;
  }
  own.device = device;
  own.offset = (*arenas)[static_cast<size_t>(device)].take(node.bytes);
}

// One use less of an operand, and of what it is a view of.
void Sketch::release(Id id, std::vector<Live>* live, std::vector<Arena>* arenas) {
  Live& used = (*live)[static_cast<size_t>(id)];
  if (--used.children != 0 || used.views != 0) return;
  Id gone = id;
  if (at(id).root != kNone) {
    gone = at(id).root;
    Live& bottom = (*live)[static_cast<size_t>(gone)];
    if (--bottom.views != 0 || bottom.children != 0) return;
  }
  Live& bottom = (*live)[static_cast<size_t>(gone)];
  if (!bottom.allocated || at(gone).output) return;
  (*arenas)[static_cast<size_t>(bottom.device)].give(bottom.offset, at(gone).bytes);
  bottom.allocated = false;
}

std::vector<uint64_t> Sketch::reserve(const SketchDevices& devices) {
  const int cpu = static_cast<int>(devices.count) - 1;
  assign(devices);
  const std::vector<Step> run = steps(cut(devices));
  std::vector<Arena> arenas;
  for (int i = 0; i <= cpu; ++i) arenas.emplace_back(i == cpu ? kHostAlign : kAcceleratorAlign);
  std::vector<Live> live(nodes_.size());
  if (devices.copies > 1) {
    // Every input and every copy of one is there so many times, for good.
    for (const Id leaf : leaves_) {
      at(leaf).output = true;
      for (uint32_t i = 1; i < devices.copies; ++i) {
        arenas[static_cast<size_t>(cpu)].take(at(leaf).bytes);
      }
    }
    for (const Id copy : spare_) allocate(copy, at(copy).device, &live, &arenas);
    for (const Step& step : run) {
      if (at(step.node).role == Role::kCopy) allocate(step.node, step.device, &live, &arenas);
    }
  }
  for (const Id leaf : leaves_) allocate(leaf, at(leaf).device, &live, &arenas);
  for (const Step& step : run) {
    if (step.hold) {
      ++live[static_cast<size_t>(step.node)].children;
      continue;
    }
    if (at(step.node).root != kNone) ++live[static_cast<size_t>(at(step.node).root)].views;
    for (const Id source : sources(step.node)) ++live[static_cast<size_t>(source)].children;
  }
  for (const Step& step : run) {
    if (step.hold) {
      release(step.node, &live, &arenas);
      continue;
    }
    allocate(step.node, step.device, &live, &arenas);
    for (const Id source : sources(step.node)) release(source, &live, &arenas);
  }
  std::vector<uint64_t> bytes;
  for (const Arena& arena : arenas) bytes.push_back(arena.most());
  return bytes;
}

}  // namespace gantry
