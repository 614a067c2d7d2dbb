// A worker for kills: answers /health, and every question with the same words, over one connection
// at a time.
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

namespace {

constexpr char kHealthy[] =
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
constexpr char kHead[] =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";
constexpr char kWords[] =
    "data: {\"choices\":[{\"delta\":{\"content\":\"always the same\"}}]}\n\ndata: [DONE]\n\n";

// The request's head and body; empty: the other side went away.
std::string read_request(int fd) {
  std::string request(1 << 16, '\0');
  size_t have = 0, want = 0;
  while (have < request.size() && (want == 0 || have < want)) {
    const ssize_t n = ::read(fd, request.data() + have, request.size() - have);
    if (n <= 0) return "";
    have += static_cast<size_t>(n);
    const size_t head = request.find("\r\n\r\n");
    const size_t length = request.find("Content-Length: ");
    if (head >= have) continue;
    want = head + 4;
    if (length < head) want += std::strtoul(request.c_str() + length + 16, nullptr, 10);
  }
  return request;
}

bool send_all(int fd, const std::string& text) {
  for (size_t done = 0; done < text.size();) {
    const ssize_t n = ::write(fd, text.data() + done, text.size() - done);
    if (n <= 0) return false;
    done += static_cast<size_t>(n);
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const int door = ::socket(AF_INET, SOCK_STREAM, 0);
  const int yes = 1;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(std::atoi(argv[1])));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ::setsockopt(door, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  if (::bind(door, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return 1;
  if (::listen(door, 16) != 0) return 1;
  for (;;) {
    const int fd = ::accept(door, nullptr, nullptr);
    if (fd < 0) continue;
    const std::string request = read_request(fd);
    if (request.starts_with("GET")) {
      send_all(fd, kHealthy);
    } else if (!request.empty() && send_all(fd, kHead)) {
      send_all(fd, kWords);
    }
    ::close(fd);
  }
}
