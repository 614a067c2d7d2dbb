// For tests: the other side of a connection, byte by byte.
#pragma once

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "http/http.h"
#include "http/socket.h"

namespace gantry::http {

constexpr Millis kTestPatience{20'000};

inline Address loopback_any() { return *parse_address("127.0.0.1:0"); }

// A directory of this test, gone with it.
class TestDir {
 public:
  TestDir() {
    char name[] = "/tmp/gantry-http-XXXXXX";
    path_ = ::mkdtemp(name);
  }
  ~TestDir() {
    for (const std::string& file : files_) (void)::unlink(file.c_str());
    (void)::rmdir(path_.c_str());
  }
  std::string file(const std::string& name) {
    files_.push_back(path_ + "/" + name);
    return files_.back();
  }

 private:
  std::string path_;
  std::vector<std::string> files_;
};

class RawPeer {
 public:
  explicit RawPeer(const Address& address) {
    auto fd = connect_to(address, {kTestPatience, nullptr, nullptr});
    EXPECT_TRUE(fd) << fd.error().message;
    if (fd) fd_ = std::move(*fd);
  }
  bool send(std::string_view bytes) {
    return send_all(fd_.get(), bytes, {kTestPatience, nullptr, nullptr}).has_value();
  }
  void half_close() { (void)::shutdown(fd_.get(), SHUT_WR); }
  void close() { fd_.reset(); }
  // Until `enough` says so of all that came, or the other side closes.
  std::string read_until(const std::function<bool(const std::string&)>& enough) {
    char buffer[4096];
    while (!enough(all_)) {
      auto got = receive_some(fd_.get(), buffer, sizeof(buffer), {kTestPatience, nullptr, nullptr});
      if (!got || *got == 0) break;
      all_.append(buffer, *got);
    }
    return all_;
  }
  std::string read_all() {
    return read_until([](const std::string&) { return false; });
  }
  std::string read_until_text(const std::string& text) {
    return read_until([&](const std::string& all) { return all.find(text) != all.npos; });
  }

 private:
  Fd fd_;
  std::string all_;
};

// Answers one connection after another with a script; for what our own server never does.
class RawServer {
 public:
  using Script = std::function<void(int fd)>;
  explicit RawServer(Script script, Address address = loopback_any())
      : address_(std::move(address)), script_(std::move(script)) {
    auto fd = listen_on(address_);
    EXPECT_TRUE(fd);
    fd_ = std::move(*fd);
    thread_ = std::thread([this] { run(); });
  }
  ~RawServer() {
    stopping_ = true;
    thread_.join();
  }
  const Address& address() const { return address_; }
  const Cancel& stopping() const { return stopping_; }

  static void say(int fd, std::string_view text) {
    (void)send_all(fd, text, {kTestPatience, nullptr, nullptr});
  }
  // The request's head, at least.
  static std::string hear(int fd) {
    std::string all;
    char buffer[4096];
    while (all.find("\r\n\r\n") == all.npos) {
      auto got = receive_some(fd, buffer, sizeof(buffer), {kTestPatience, nullptr, nullptr});
      if (!got || *got == 0) break;
      all.append(buffer, *got);
    }
    return all;
  }

 private:
  void run() {
    while (!stopping_) {
      Fd peer(::accept(fd_.get(), nullptr, nullptr));
      if (!peer.open()) {
        std::this_thread::sleep_for(Millis{2});
        continue;
      }
      script_(peer.get());
    }
  }

  Address address_;
  Script script_;
  Fd fd_;
  Cancel stopping_{false};
  std::thread thread_;
};

}  // namespace gantry::http
