// An OpenAI-compatible endpoint somewhere else. The only place that sees libcurl.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "http/http.h"

namespace gantry {

struct EndpointOptions {
  std::string url;  // "https://api.example.com/v1"; http:// only on this machine
  std::string key;  // sent as a bearer token; empty: none
  std::string ca_file;             // certificates to trust; empty: the system's
  Millis connect{10'000};
  Millis silent{120'000};          // without a byte
};

struct EndpointHead {
  int status = 0;
  std::string content_type, retry_after;
};

// Called in order: once with the head, then with each piece of the body; false ends the call.
struct EndpointEvents {
  std::function<bool(const EndpointHead&)> on_head;
  std::function<bool(std::string_view)> on_piece;
};

// kUsage: no address, credentials in it, or a key that would cross a network in clear.
[[nodiscard]] Result<void> check_endpoint(const EndpointOptions& options);

// Once per process, before threads.
void start_endpoints();

// One POST of JSON. Redirects are not followed: the key is for this address alone. kUnavailable:
// nobody answers, or broke off; kTimeout; kPermission: its certificate is not trusted; kCancelled.
[[nodiscard]] Result<void> post_to_endpoint(const EndpointOptions& options,
                                            const std::string& path, const std::string& body,
                                            const http::Cancel& cancel,
                                            const EndpointEvents& events);

}  // namespace gantry
