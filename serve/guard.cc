// Who may ask at all: Origin, Host and key.
#include "serve/guard.h"

#include <algorithm>

#include "http/message.h"

namespace gantry {

namespace {

constexpr std::string_view kScheme = "http://";

bool listed(const std::vector<std::string>& list, std::string_view text) {
  return std::any_of(list.begin(), list.end(),
                     [&](const std::string& entry) { return http::same_text(entry, text); });
}

size_t count(const http::Headers& headers, std::string_view name) {
  return static_cast<size_t>(std::count_if(headers.begin(), headers.end(), [&](const auto& pair) {
    return http::same_text(pair.first, name);
  }));
}

bool is_preflight(const http::Request& head) {
  return head.method == "OPTIONS" && !head.header("Origin").empty() &&
         !head.header("Access-Control-Request-Method").empty();
}

http::Response refuse(int status, std::string message, std::string code) {
  return error_response({status, std::move(message), std::move(code), {}});
}

}  // namespace

bool same_secret(std::string_view a, std::string_view b) {
  unsigned differences = a.size() == b.size() ? 0 : 1;
  for (size_t i = 0; i < std::max(a.size(), b.size()); ++i) {
    const char x = i < a.size() ? a[i] : '\0';
    const char y = i < b.size() ? b[i] : '\0';
    differences |= static_cast<unsigned>(static_cast<unsigned char>(x ^ y));
  }
  return differences == 0;
}

bool Guard::host_allowed(std::string_view host, const http::Address& via) const {
  const std::string port = ':' + std::to_string(via.port);
  std::vector<std::string> allowed = {via.text(), "localhost" + port, "127.0.0.1" + port,
                                      "[::1]" + port};
  for (const std::string& extra : options_.hosts) {
    allowed.push_back(extra);
    allowed.push_back(extra + port);
  }
  if (listed(allowed, host)) return true;
  return via.port == 80 && listed(allowed, std::string(host) + port);
}

bool Guard::origin_allowed(std::string_view origin, const http::Address& via) const {
  if (listed(options_.origins, origin)) return true;
  // Our own pages; over a unix socket there are none.
  return via.unix_path.empty() && origin.starts_with(kScheme) &&
         host_allowed(origin.substr(kScheme.size()), via);
}

bool Guard::key_right(const http::Request& head) const {
  if (same_secret(head.header("x-api-key"), options_.api_key)) return true;
  constexpr std::string_view kBearer = "bearer ";
  const std::string_view authorization = head.header("Authorization");
  if (authorization.size() < kBearer.size()) return false;
  return http::same_text(authorization.substr(0, kBearer.size()), kBearer) &&
         same_secret(authorization.substr(kBearer.size()), options_.api_key);
}

std::optional<http::Response> Guard::check(const http::Request& head,
                                           const http::Address& via) const {
  const bool local = !via.unix_path.empty();
  const size_t origins = count(head.headers, "Origin");
  const std::string_view origin = head.header("Origin");
  if (origins > 1 || (origins == 1 && !origin_allowed(origin, via))) {
    return refuse(403,
                  "web pages of " + http::printable(origin) +
                      " may not use this server (add it to allowed_origins to let them)",
                  "origin_not_allowed");
  }
  if (!local && !host_allowed(head.header("Host"), via)) {
    return refuse(403,
                  "this server does not answer to the name " +
                      http::printable(head.header("Host")) + " (use " + via.text() +
                      ", or add the name to allowed_hosts)",
                  "host_not_allowed");
  }
  if (is_preflight(head)) {
    http::Response response;
    response.status = 204;
    response.headers = cors(head, via);
    return response;
  }
  if (!local && !options_.api_key.empty() && !key_right(head)) {
    http::Response response = refuse(
        401, "no valid API key (send it as Authorization: Bearer KEY)", "invalid_api_key");
    response.headers.emplace_back("WWW-Authenticate", "Bearer");
    return response;
  }
  return std::nullopt;
}

http::Headers Guard::cors(const http::Request& head, const http::Address& via) const {
  const std::string origin(head.header("Origin"));
  if (origin.empty() || !origin_allowed(origin, via)) return {};
  http::Headers headers = {{"Access-Control-Allow-Origin", origin}, {"Vary", "Origin"}};
  if (!is_preflight(head)) {
    headers.emplace_back("Access-Control-Expose-Headers", "Retry-After");
    return headers;
  }
  headers.emplace_back("Access-Control-Allow-Methods", "GET, POST");
  headers.emplace_back("Access-Control-Allow-Headers", "Authorization, Content-Type, X-Api-Key");
  headers.emplace_back("Access-Control-Max-Age", "600");
  return headers;
}

}  // namespace gantry
