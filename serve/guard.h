// Who may ask at all: Origin, Host and key, looked at before a byte of the body is read.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "http/http.h"
#include "serve/reply.h"

namespace gantry {

struct GuardOptions {
  std::string api_key;
  std::vector<std::string> hosts;    // "gantry.lan" (with our port or without), "gantry.lan:80"
  std::vector<std::string> origins;  // exact: "https://app.example"
};

// Takes time that depends on the lengths alone.
bool same_secret(std::string_view a, std::string_view b);

// Pure and immutable: any thread.
class Guard {
 public:
  explicit Guard(GuardOptions options) : options_(std::move(options)) {}

  // The answer to a request that goes no further: a refusal, or a CORS preflight's answer.
  // `via` is the listening address it came by. A browser cannot be made to send another Origin
  // than the page's, nor another Host than the name it resolved: with both lists exact, neither
  // a foreign page nor a name that was re-bound to this machine gets through.
  std::optional<http::Response> check(const http::Request& head, const http::Address& via) const;

  // The headers that let a page of a listed origin read the answer; empty for others.
  http::Headers cors(const http::Request& head, const http::Address& via) const;

 private:
  bool host_allowed(std::string_view host, const http::Address& via) const;
  bool origin_allowed(std::string_view origin, const http::Address& via) const;
  bool key_right(const http::Request& head) const;

  GuardOptions options_;
};

}  // namespace gantry
