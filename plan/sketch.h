// A graph of sizes: how much memory ggml's scheduler and allocator (0.25.3) reserve for a graph
// that is only drawn. Nothing here knows a model; draw.cc does. Bytes follow from three things that
// ggml does, which are repeated here rule by rule: which device computes a node, what is copied
// between devices, and where a best fit with reuse in place puts each result.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <vector>

namespace gantry {

// Devices are numbered from the first accelerator to the CPU, which is last.
struct SketchDevices {
  uint32_t count = 1;
  bool offload = true;    // batches of host weights go to the first accelerator
  uint32_t copies = 1;    // of every input, where batches are pipelined through several devices
};

// More than any machine has: where a shape is absurd, so many bytes stand for a tensor, and sums
// stay in 64 bits.
constexpr uint64_t kSketchMost = uint64_t{1} << 48;

class Sketch {
 public:
  using Id = int32_t;
  static constexpr Id kNone = -1;
  struct Dims {
    uint64_t a = 1, b = 1, c = 1, d = 1;
    uint64_t count() const;  // at most kSketchMost
    bool operator==(const Dims&) const = default;
  };
  static constexpr uint32_t kF32 = 4, kF16 = 2, kI32 = 4, kI64 = 8;

  void expect(size_t layers);  // room for so many, which saves time

  // What lies outside the compute buffers.
  Id weight(uint32_t device, uint64_t bytes);
  Id cache(uint32_t device, uint64_t bytes);
  // What the host fills in before a graph runs.
  Id input(Dims dims, uint32_t element_bytes);

  // A result of F32, or of what is said. In place: where its layout is that of an operand nobody
  // needs any more.
  Id op(Dims dims, std::initializer_list<Id> sources, uint32_t element_bytes = kF32);
  Id in_place(Dims dims, std::initializer_list<Id> sources);
  Id rope(Id of, Id positions);                  // in place; not drawn to a weight's device
  Id flash(Dims dims, std::initializer_list<Id> sources, uint64_t extra_bytes);
  Id cast(Id of, uint32_t element_bytes);
  Id matrix(Id weight, Id of, uint64_t rows);    // rows x the columns of `of`
  Id experts(Id weight, Id of, Id chosen, Dims dims);
  Id rows(Dims dims, Id table, Id chosen);       // never sent to an accelerator for its size
  Id store(Id into, Id what, Id where);          // the result is `into` itself
  // The same bytes in another shape; strided: not one after another.
  Id view(Id of, Dims dims, bool strided = false);
  Id permuted(Id of, Dims dims) { return view(of, dims, true); }
  const Dims& dims(Id id) const { return nodes_[static_cast<size_t>(id)].dims; }
  bool strided(Id id) const { return nodes_[static_cast<size_t>(id)].strided; }

  void expand(Id id);                    // appends what it needs, then itself
  void pin(Id id, uint32_t device);      // whatever its neighbours say
  void keep(Id id);                      // never freed: the host reads it

  // Bytes of each device's compute buffer. The sketch is used up.
  [[nodiscard]] std::vector<uint64_t> reserve(const SketchDevices& devices);

 private:
  enum class Role : uint8_t { kOp, kView, kInput, kWeight, kCache, kCopy };
  struct Node {
    Dims dims;
    uint64_t bytes = 0;
    std::array<Id, 8> sources{};
    uint8_t count = 0;
    Role role = Role::kOp;
    bool reuses = false, strided = false, output = false, seen = false, drawn = true;
    uint32_t element = kF32;
    uint64_t batch = 0;   // what decides whether a host weight's operation is sent away
    Id root = kNone;      // of a view: whose bytes these are
    int device = -1;
  };
  struct Split {
    int device = 0;
    size_t begin = 0, end = 0;
    std::vector<Id> inputs;
  };
  struct Step {
    Id node;
    int device;
    bool hold = false;  // stands for a copy's source being needed here
  };
  class Arena;
  struct Live;

  Id add(Node node, std::initializer_list<Id> sources);
  Node& at(Id id) { return nodes_[static_cast<size_t>(id)]; }
  std::span<const Id> sources(Id id) const;
  bool outside(Id id) const;             // in no compute buffer, it or what it is a view of
  int home(Id id, const SketchDevices& devices) const;
  void assign(const SketchDevices& devices);
  void spread(bool up, bool to_cpu, int cpu);
  Id copied(Id id, int device, const SketchDevices& devices, Split* split);
  std::vector<Split> cut(const SketchDevices& devices);
  std::vector<Step> steps(const std::vector<Split>& splits);
  void allocate(Id id, int device, std::vector<Live>* live, std::vector<Arena>* arenas);
  void release(Id id, std::vector<Live>* live, std::vector<Arena>* arenas);

  std::vector<Node> nodes_;
  std::vector<Id> order_;   // operations and views, as they run
  std::vector<Id> leaves_;  // inputs, as they were met
  std::vector<std::vector<Id>> copies_;  // [device][node], kNone where there is none
  std::vector<Id> spare_;                // further copies, never freed
};

}  // namespace gantry
