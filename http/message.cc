// Addresses, headers and queries: text in, checked values out.
#include "http/message.h"

#include <arpa/inet.h>
#include <sys/un.h>

#include <algorithm>
#include <charconv>

namespace gantry::http {

namespace {

constexpr std::string_view kAddressRemedy =
    "write HOST:PORT, such as 127.0.0.1:8484, or unix:/path/to/socket";

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (lower(c) >= 'a' && lower(c) <= 'f') return lower(c) - 'a' + 10;
  return -1;
}

tl::unexpected<Error> bad_address(std::string_view text) {
  return fail(Code::kUsage, "not an address: " + printable(text), std::string(kAddressRemedy));
}

Result<Address> parse_unix(std::string_view path) {
  if (path.empty() || path.find('\0') != path.npos) return bad_address("unix:");
  if (path.size() >= sizeof(sockaddr_un{}.sun_path)) {
    return fail(Code::kUsage, "the path of the socket is too long: " + printable(path),
                "choose one of at most 107 characters");
  }
  Address address;
  address.unix_path = std::string(path);
  return address;
}

bool is_host_name(std::string_view host) {
  if (host.empty() || host.size() > 253) return false;
  return std::all_of(host.begin(), host.end(), [](char c) {
    return (lower(c) >= 'a' && lower(c) <= 'z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-' || c == '_';
  });
}

}  // namespace

bool same_text(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return lower(x) == lower(y); });
}

std::string printable(std::string_view text) {
  constexpr size_t kShown = 100;
  std::string shown;
  for (char c : text.substr(0, kShown)) shown += (c >= ' ' && c < 127) ? c : '?';
  if (text.size() > kShown) shown += "...";
  return shown;
}

std::optional<std::string> percent_decode(std::string_view text, bool plus_is_space) {
  std::string decoded;
  decoded.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%') {
      if (i + 2 >= text.size()) return std::nullopt;
      const int high = hex_digit(text[i + 1]);
      const int low = hex_digit(text[i + 2]);
      if (high < 0 || low < 0) return std::nullopt;
      decoded += static_cast<char>(high * 16 + low);
      i += 2;
    } else {
      decoded += (plus_is_space && text[i] == '+') ? ' ' : text[i];
    }
  }
  return decoded;
}

std::string_view find_header(const Headers& headers, std::string_view name) {
  for (const auto& [key, value] : headers) {
    if (same_text(key, name)) return value;
  }
  return {};
}

std::string_view Request::header(std::string_view name) const { return find_header(headers, name); }
std::string_view Response::header(std::string_view name) const {
  return find_header(headers, name);
}

std::string_view Request::path() const {
  return std::string_view(target).substr(0, target.find('?'));
}

std::optional<std::string> Request::query(std::string_view key) const {
  const size_t mark = target.find('?');
  if (mark == std::string::npos) return std::nullopt;
  std::string_view rest = std::string_view(target).substr(mark + 1);
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('&'), rest.size());
    const std::string_view pair = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    const size_t equals = std::min(pair.find('='), pair.size());
    if (percent_decode(pair.substr(0, equals), true) != key) continue;
    return percent_decode(pair.substr(std::min(equals + 1, pair.size())), true);
  }
  return std::nullopt;
}

std::string Address::text() const {
  if (!unix_path.empty()) return "unix:" + unix_path;
  const bool v6 = host.find(':') != std::string::npos;
  return (v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

bool Address::loopback() const {
  if (!unix_path.empty()) return true;
  in_addr v4{};
  if (inet_pton(AF_INET, host.c_str(), &v4) == 1) return (ntohl(v4.s_addr) >> 24) == 127;
  in6_addr v6{};
  return inet_pton(AF_INET6, host.c_str(), &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

Result<Address> parse_address(std::string_view text) {
  const std::string_view whole = text;
  constexpr std::string_view kUnix = "unix:";
  if (text.starts_with(kUnix)) return parse_unix(text.substr(kUnix.size()));
  constexpr std::string_view kScheme = "http://";
  if (text.starts_with(kScheme)) {
    text.remove_prefix(kScheme.size());
    if (text.ends_with('/')) text.remove_suffix(1);
  }
  const size_t colon = text.rfind(':');
  if (colon == text.npos) return bad_address(whole);
  std::string_view host = text.substr(0, colon);
  const std::string_view digits = text.substr(colon + 1);
  Address address;
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), address.port);
  if (error != std::errc{} || end != digits.data() + digits.size()) return bad_address(whole);
  if (host.starts_with('[')) {
    in6_addr v6{};
    if (!host.ends_with(']')) return bad_address(whole);
    address.host = std::string(host.substr(1, host.size() - 2));
    if (inet_pton(AF_INET6, address.host.c_str(), &v6) != 1) return bad_address(whole);
    return address;
  }
  // A host of that name would be read as a socket's path when it is written out again.
  if (!is_host_name(host) || text.starts_with(kUnix)) return bad_address(whole);
  address.host = same_text(host, "localhost") ? "127.0.0.1" : std::string(host);
  return address;
}

}  // namespace gantry::http
