// Sockets: the system calls of both sides, without HTTP.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <utility>

#include "http/http.h"

namespace gantry::http {

// Owns a file descriptor.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept;
  ~Fd() { reset(); }
  int get() const { return fd_; }
  bool open() const { return fd_ >= 0; }
  void reset();

 private:
  int fd_ = -1;
};

// How long one blocking call may take. All are looked at every 50 ms or sooner.
struct Patience {
  Millis idle{0};                     // without progress
  const Cancel* cancel = nullptr;     // kCancelled once set
  const Cancel* hurry = nullptr;      // once set, at most kHurry more
};
constexpr Millis kHurry{1'000};

// A connected, non-blocking socket. kUnavailable when nobody listens, kTimeout, kCancelled.
[[nodiscard]] Result<Fd> connect_to(const Address& address, const Patience& patience);

// A listening, non-blocking socket; `address` gets the real port. A socket file is made with mode
// 0600; one that nobody answers on any more is replaced, else kBusy.
[[nodiscard]] Result<Fd> listen_on(Address& address);

// The inode of a socket file, so that its maker removes its own file only; 0 when there is none.
uint64_t socket_inode(const std::string& path);

// All bytes, or kTimeout, kCancelled, kUnavailable (the other side is gone).
[[nodiscard]] Result<void> send_all(int fd, std::string_view bytes, const Patience& patience);

// Some bytes into `buffer`; 0: the other side has closed.
[[nodiscard]] Result<size_t> receive_some(int fd, char* buffer, size_t size,
                                          const Patience& patience);

}  // namespace gantry::http
