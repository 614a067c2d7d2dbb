// libcurl, one handle a call.
#include "cloud/endpoint.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <fmt/format.h>

#include <memory>

namespace gantry {

namespace {

struct EasyFree {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
};
struct ListFree {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
struct UrlFree {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
};

struct Call {
  CURL* handle = nullptr;
  const http::Cancel* cancel = nullptr;
  const EndpointEvents* events = nullptr;
  bool told_head = false, refused = false;

  bool head() {
    if (told_head) return !refused;
    told_head = true;
    long status = 0;
    curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &status);
    EndpointHead head{static_cast<int>(status), {}, {}};
    const auto header = [this](const char* name) -> std::string {
      curl_header* found = nullptr;
      const bool there = curl_easy_header(handle, name, 0, CURLH_HEADER, -1, &found) == CURLHE_OK;
      return there ? found->value : "";
    };
    head.content_type = header("Content-Type");
    head.retry_after = header("Retry-After");
    refused = !events->on_head(head);
    return !refused;
  }
};

size_t on_body(char* bytes, size_t size, size_t count, void* user) {
  Call& call = *static_cast<Call*>(user);
  const size_t n = size * count;
  if (!call.head() || !call.events->on_piece({bytes, n})) {
    call.refused = true;
    return 0;  // ends the transfer
  }
  return n;
}

int on_progress(void* user, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  return *static_cast<Call*>(user)->cancel ? 1 : 0;
}

Result<std::string> part_of(CURLU* url, CURLUPart part) {
  char* text = nullptr;
  if (curl_url_get(url, part, &text, 0) != CURLUE_OK) return std::string();
  std::string out = text;
  curl_free(text);
  return out;
}

Error broken(const EndpointOptions& options, CURLcode code, const char* words) {
  const std::string what = words[0] != '\0' ? words : curl_easy_strerror(code);
  switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
      return {Code::kTimeout, options.url + " does not answer: " + what, "try again later"};
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
      return {Code::kPermission, options.url + " is not who it says: " + what,
              "check the address; name its authority's file with --ca-file"};
    default:
      return {Code::kUnavailable, options.url + " cannot be reached: " + what,
              "check the network and the address"};
  }
}

}  // namespace

void start_endpoints() { curl_global_init(CURL_GLOBAL_DEFAULT); }

Result<void> check_endpoint(const EndpointOptions& options) {
  const std::unique_ptr<CURLU, UrlFree> url(curl_url());
  if (curl_url_set(url.get(), CURLUPART_URL, options.url.c_str(), 0) != CURLUE_OK) {
    return fail(Code::kUsage, options.url + " is no address", "https://api.example.com/v1");
  }
  const std::string scheme = *part_of(url.get(), CURLUPART_SCHEME);
  const std::string host = *part_of(url.get(), CURLUPART_HOST);
  if (scheme != "https" && scheme != "http") {
    return fail(Code::kUsage, options.url + " is not https", "https://api.example.com/v1");
  }
  in_addr v4{};
  const bool numbers = ::inet_pton(AF_INET, host.c_str(), &v4) == 1;
  const bool here = host == "localhost" || host == "[::1]" ||
                    (numbers && (ntohl(v4.s_addr) >> 24) == IN_LOOPBACKNET);
  if (scheme == "http" && !here) {
    return fail(Code::kUsage, "key and prompts would go to " + host + " in clear", "use https");
  }
  if (!part_of(url.get(), CURLUPART_USER)->empty() ||
      !part_of(url.get(), CURLUPART_QUERY)->empty() ||
      !part_of(url.get(), CURLUPART_FRAGMENT)->empty()) {
    return fail(Code::kUsage, "the address holds credentials or a query",
                "give the bare address, and the key with --key-env or --key-file");
  }
  return {};
}

Result<void> post_to_endpoint(const EndpointOptions& options, const std::string& path,
                              const std::string& body, const http::Cancel& cancel,
                              const EndpointEvents& events) {
  const std::unique_ptr<CURL, EasyFree> handle(curl_easy_init());
  if (handle == nullptr) return fail(Code::kInternal, "libcurl does not start");
  std::unique_ptr<curl_slist, ListFree> headers;
  const auto add = [&headers](const std::string& line) {
    headers.reset(curl_slist_append(headers.release(), line.c_str()));
  };
  add("Content-Type: application/json");
  add("Expect:");  // no round trip before the body
  if (!options.key.empty()) add("Authorization: Bearer " + options.key);
  Call call{handle.get(), &cancel, &events, false, false};
  char words[CURL_ERROR_SIZE] = "";
  std::string base = options.url;
  while (base.ends_with('/')) base.pop_back();
  const std::string url = base + path;
  const auto set = [&handle](CURLoption option, auto value) {
    curl_easy_setopt(handle.get(), option, value);
  };
  set(CURLOPT_URL, url.c_str());
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_FOLLOWLOCATION, 0L);
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_ERRORBUFFER, words);
  set(CURLOPT_HTTPHEADER, headers.get());
  set(CURLOPT_POSTFIELDS, body.c_str());
  set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
  set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options.connect.count()));
  set(CURLOPT_LOW_SPEED_LIMIT, 1L);
  set(CURLOPT_LOW_SPEED_TIME, static_cast<long>(options.silent.count() / 1000));
  if (!options.ca_file.empty()) set(CURLOPT_CAINFO, options.ca_file.c_str());
  set(CURLOPT_WRITEFUNCTION, on_body);
  set(CURLOPT_WRITEDATA, static_cast<void*>(&call));
  set(CURLOPT_NOPROGRESS, 0L);
  set(CURLOPT_XFERINFOFUNCTION, on_progress);
  set(CURLOPT_XFERINFODATA, static_cast<void*>(&call));
  const CURLcode code = curl_easy_perform(handle.get());
  if (cancel || call.refused) return fail(Code::kCancelled, "the client has gone");
  if (code != CURLE_OK) return fail(broken(options, code, words));
  if (!call.head()) return fail(Code::kCancelled, "the client has gone");  // an empty body
  return {};
}

}  // namespace gantry
