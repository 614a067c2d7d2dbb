// Non-blocking sockets and poll(2), with time limits and cancel flags.
#include "http/socket.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

namespace gantry::http {

namespace {

constexpr Millis kSlice{50};
constexpr int kBacklog = 256;

Millis now() { return RealClock().steady(); }

struct Target {
  sockaddr_storage storage{};
  socklen_t size = 0;
  int family = AF_UNSPEC;
};

Target unix_target(const std::string& path) {
  Target target;
  sockaddr_un un{};
  un.sun_family = AF_UNIX;
  std::memcpy(un.sun_path, path.data(), std::min(path.size(), sizeof(un.sun_path) - 1));
  std::memcpy(&target.storage, &un, sizeof(un));
  target.size = sizeof(un);
  target.family = AF_UNIX;
  return target;
}

// Numeric addresses never ask a name server.
Result<Target> resolve(const Address& address, bool passive) {
  if (!address.unix_path.empty()) return unix_target(address.unix_path);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV | (passive ? AI_PASSIVE : 0);
  addrinfo* list = nullptr;
  const int rc = getaddrinfo(address.host.c_str(), std::to_string(address.port).c_str(), &hints,
                             &list);
  if (rc != 0) {
    return fail(Code::kUnavailable,
                "no such host: " + address.host + ": " + std::string(gai_strerror(rc)),
                "check the name, or write the address in numbers");
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(list, &freeaddrinfo);
  Target target;
  std::memcpy(&target.storage, list->ai_addr, list->ai_addrlen);
  target.size = list->ai_addrlen;
  target.family = list->ai_family;
  return target;
}

Fd new_socket(int family) {
  return Fd(::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

const sockaddr* as_sockaddr(const Target& target) {
  return reinterpret_cast<const sockaddr*>(&target.storage);
}

// Waits for `events`. A wait without progress ends with kTimeout.
class Waiter {
 public:
  Waiter(int fd, const Patience& patience) : fd_(fd), patience_(patience), since_(now()) {}

  Result<void> wait(int16_t events) {
    while (true) {
      if (patience_.cancel != nullptr && patience_.cancel->load()) {
        return fail(Code::kCancelled, "cancelled");
      }
      const Millis at = now();
      if (patience_.hurry != nullptr && patience_.hurry->load() && !hurried_) hurried_ = at;
      Millis left = since_ + patience_.idle - at;
      if (hurried_) left = std::min(left, *hurried_ + kHurry - at);
      if (left <= Millis{0}) {
        return fail(Code::kTimeout, "the other side did nothing for too long");
      }
      pollfd entry{fd_, events, 0};
      const int rc = ::poll(&entry, 1, static_cast<int>(std::min(left, kSlice).count()));
      if (rc > 0) return {};
      if (rc < 0 && errno != EINTR) return fail(os_error("poll", errno));
    }
  }

 private:
  int fd_;
  const Patience& patience_;
  Millis since_;
  std::optional<Millis> hurried_;
};

Error gone_error() { return {Code::kUnavailable, "the other side closed the connection", {}}; }

Error connect_error(const Address& address, int err) {
  if (err == ECONNREFUSED || err == ENOENT || err == ECONNRESET || err == ENETUNREACH ||
      err == EHOSTUNREACH || err == EADDRNOTAVAIL) {
    return {Code::kUnavailable, "nobody answers at " + address.text(),
            "start it, or check the address"};
  }
  Error error = os_error("connect to " + address.text(), err);
  if (error.code == Code::kIo || error.code == Code::kNotFound) error.code = Code::kUnavailable;
  return error;
}

void no_delay(int fd) {
  const int on = 1;
  (void)::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

// Removes a socket file whose server is dead.
Result<void> clear_stale(const Address& address, const Target& target) {
  struct stat info {};
  if (::lstat(address.unix_path.c_str(), &info) != 0) return {};
  if (!S_ISSOCK(info.st_mode)) {
    return fail(Code::kBusy, address.unix_path + " exists and is not a socket",
                "remove it, or choose another path");
  }
  const Fd probe = new_socket(AF_UNIX);
  if (!probe.open()) return fail(os_error("socket", errno));
  const int rc = ::connect(probe.get(), as_sockaddr(target), target.size);
  if (rc == 0 || errno != ECONNREFUSED) {
    return fail(Code::kBusy, "another server answers at " + address.text(),
                "stop it first, or use another --state-dir");
  }
  if (::unlink(address.unix_path.c_str()) != 0 && errno != ENOENT) {
    return fail(os_error("remove the stale socket " + address.unix_path, errno));
  }
  return {};
}

Error bind_error(const Address& address, int err) {
  Error error = os_error("listen on " + address.text(), err);
  if (err == EADDRINUSE) {
    error.message = address.text() + " is taken by another program";
    error.remedy = "choose another port with --listen, or stop that program";
  }
  if (err == EADDRNOTAVAIL) {
    error.code = Code::kUsage;
    error.remedy = "this machine has no such address; use 127.0.0.1 or one that it has";
  }
  return error;
}

}  // namespace

Fd& Fd::operator=(Fd&& other) noexcept {
  if (this != &other) {
    reset();
    fd_ = std::exchange(other.fd_, -1);
  }
  return *this;
}

void Fd::reset() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

Result<Fd> connect_to(const Address& address, const Patience& patience) {
  auto target = resolve(address, false);
  if (!target) return fail(target.error());
  const auto give_up = now() + patience.idle;
  while (true) {
    Fd fd = new_socket(target->family);
    if (!fd.open()) return fail(os_error("socket", errno));
    if (::connect(fd.get(), as_sockaddr(*target), target->size) == 0) {
      if (target->family != AF_UNIX) no_delay(fd.get());
      return fd;
    }
    if (errno == EAGAIN && target->family == AF_UNIX) {
      // A unix socket with a full backlog says "try again" and never becomes ready.
      if (patience.cancel != nullptr && patience.cancel->load()) {
        return fail(Code::kCancelled, "cancelled");
      }
      if (now() >= give_up) {
        return fail(Code::kTimeout, address.text() + " accepts no connection");
      }
      (void)::poll(nullptr, 0, 10);
      continue;
    }
    if (errno != EINPROGRESS) return fail(connect_error(address, errno));
    auto ready = Waiter(fd.get(), patience).wait(POLLOUT);
    if (!ready) {
      if (ready.error().code != Code::kTimeout) return fail(ready.error());
      return fail(Code::kTimeout, address.text() + " does not answer", "check the address");
    }
    int err = 0;
    socklen_t size = sizeof(err);
    if (::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &err, &size) != 0) err = errno;
    if (err != 0) return fail(connect_error(address, err));
    no_delay(fd.get());
    return fd;
  }
}

Result<Fd> listen_on(Address& address) {
  auto target = resolve(address, true);
  if (!target) return fail(target.error());
  const bool is_unix = target->family == AF_UNIX;
  if (is_unix) {
    auto cleared = clear_stale(address, *target);
    if (!cleared) return fail(cleared.error());
  }
  Fd fd = new_socket(target->family);
  if (!fd.open()) return fail(os_error("socket", errno));
  const int on = 1;
  if (!is_unix) (void)::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (target->family == AF_INET6) {
    (void)::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
  }
  // On Linux the file takes the socket's own mode: no moment at which others could connect.
  if (is_unix && ::fchmod(fd.get(), 0600) != 0) return fail(os_error("fchmod", errno));
  if (::bind(fd.get(), as_sockaddr(*target), target->size) != 0) {
    return fail(bind_error(address, errno));
  }
  if (is_unix && ::chmod(address.unix_path.c_str(), 0600) != 0) {
    return fail(os_error("chmod " + address.unix_path, errno));
  }
  if (::listen(fd.get(), kBacklog) != 0) return fail(bind_error(address, errno));
  if (!is_unix) {
    Target bound;
    bound.size = sizeof(bound.storage);
    auto* name = reinterpret_cast<sockaddr*>(&bound.storage);
    if (::getsockname(fd.get(), name, &bound.size) != 0) {
      return fail(os_error("getsockname", errno));
    }
    const uint16_t port = target->family == AF_INET6
                              ? reinterpret_cast<const sockaddr_in6*>(name)->sin6_port
                              : reinterpret_cast<const sockaddr_in*>(name)->sin_port;
    address.port = ntohs(port);
  }
  return fd;
}

uint64_t socket_inode(const std::string& path) {
  struct stat info {};
  return ::lstat(path.c_str(), &info) == 0 ? static_cast<uint64_t>(info.st_ino) : 0;
}

Result<void> send_all(int fd, std::string_view bytes, const Patience& patience) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent > 0) {
      bytes.remove_prefix(static_cast<size_t>(sent));
      if (patience.cancel != nullptr && patience.cancel->load() && !bytes.empty()) {
        return fail(Code::kCancelled, "cancelled");
      }
      continue;
    }
    if (errno == EINTR) continue;
    if (errno == EPIPE || errno == ECONNRESET) return fail(gone_error());
    if (errno != EAGAIN && errno != EWOULDBLOCK) return fail(os_error("send", errno));
    auto ready = Waiter(fd, patience).wait(POLLOUT);
    if (!ready) return fail(ready.error());
  }
  return {};
}

Result<size_t> receive_some(int fd, char* buffer, size_t size, const Patience& patience) {
  Waiter waiter(fd, patience);
  while (true) {
    auto ready = waiter.wait(POLLIN);
    if (!ready) return fail(ready.error());
    const ssize_t got = ::recv(fd, buffer, size, 0);
    if (got >= 0) return static_cast<size_t>(got);
    if (errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK) continue;
    if (errno == ECONNRESET) return fail(gone_error());
    return fail(os_error("recv", errno));
  }
}

}  // namespace gantry::http
