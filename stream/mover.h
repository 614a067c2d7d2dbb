// Keeps the ring ahead of use: one thread that loads what the schedule says.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/result.h"
#include "stream/inner.h"
#include "stream/layout.h"
#include "stream/loader.h"
#include "stream/ring.h"
#include "stream/store.h"

namespace gantry {

// What is moved together.
struct Piece {
  std::vector<Weight*> weights;
  std::vector<Part> parts;
  Image image;
  // What a device wants behind a weight's end, as bytes: zero before every load, because other
  // pieces' bytes were there.
  std::vector<ggml_tensor> paddings;
  uint32_t layer = 0;
  std::string name;
};

// take(), wait() and release() are the computing thread's, one at a time.
class Mover {
 public:
  // `pieces` in order of use. Clones of their weights are placed here, for good.
  [[nodiscard]] static Result<std::unique_ptr<Mover>> make(const Inner& inner,
                                                           std::vector<Piece> pieces,
                                                           uint64_t ring_bytes,
                                                           std::unique_ptr<Loader> loader,
                                                           StatsPage& stats, Trace& trace);
  ~Mover();

  // True: there already, and now in use, without waiting.
  bool take(size_t piece);
  // Blocks until the piece is on the device, and in use. An error is that of its load; asking again
  // tries anew. Everything in use that lies in its place must have been released.
  [[nodiscard]] Result<void> wait(size_t piece);
  // Changes the bytes of its source while nobody copies them; what was loaded before is of no use.
  // Not while it is in use.
  void rewrite(size_t piece, const std::function<void()>& change);
  // Only these pieces from now on; see Ring::set_order.
  void set_order(std::vector<size_t> order);
  // The computing that used it is over.
  void release(size_t piece);

  uint64_t ring_bytes() const { return buffer_.bytes(); }
  const std::vector<Piece>& pieces() const { return pieces_; }

 private:
  Mover(const Inner& inner, std::vector<Piece> pieces, Ring ring, std::unique_ptr<Loader> loader,
        StatsPage& stats, Trace& trace);
  [[nodiscard]] Result<void> place();
  void run();
  void begin(size_t piece);
  void finish(const LoadDone& done);
  void load_inline();
  void wake_locked();

  const Inner& inner_;
  std::vector<Piece> pieces_;
  DeviceBuffer buffer_;  // before the loader, whose last reads still go there
  std::unique_ptr<Loader> loader_;
  StatsPage& stats_;
  Trace& trace_;

  std::mutex mutex_;  // guards what follows
  std::condition_variable moved_;
  std::condition_variable work_;
  Ring ring_;
  std::vector<std::optional<Error>> errors_;  // of each piece's last load
  bool paused_ = false;  // a load failed: no more of them until somebody asks
  bool stop_ = false;
  std::thread thread_;  // none for a device that one thread may talk to
};

}  // namespace gantry
