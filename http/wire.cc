// Heads as they go over the wire.
#include "http/wire.h"

#include <algorithm>
#include <charconv>

#include "http/message.h"

namespace gantry::http {

namespace {

struct Phrase {
  int status;
  std::string_view text;
};

constexpr Phrase kPhrases[] = {
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {413, "Content Too Large"},
    {417, "Expectation Failed"},
    {422, "Unprocessable Content"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
    {507, "Insufficient Storage"},
};

bool is_token(std::string_view name) {
  constexpr std::string_view kOthers = "!#$%&'*+-.^_`|~";
  return !name.empty() && std::all_of(name.begin(), name.end(), [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           kOthers.find(c) != kOthers.npos;
  });
}

}  // namespace

std::string header_lines(const Headers& headers, std::initializer_list<std::string_view> except) {
  std::string lines;
  for (const auto& [name, value] : headers) {
    const auto is_name = [&field = name](std::string_view other) {
      return same_text(field, other);
    };
    const bool left_out = std::any_of(except.begin(), except.end(), is_name);
    if (left_out || !is_token(name)) continue;
    lines += name + ": ";
    for (char c : value) lines += (c == '\r' || c == '\n' || c == '\0') ? ' ' : c;
    lines += "\r\n";
  }
  return lines;
}

std::string_view reason_phrase(int status) {
  for (const Phrase& phrase : kPhrases) {
    if (phrase.status == status) return phrase.text;
  }
  return "Status";
}

std::string response_head(const Response& response, Framing framing, size_t length,
                          bool keep_alive) {
  std::string head = "HTTP/1.1 " + std::to_string(response.status) + " " +
                     std::string(reason_phrase(response.status)) + "\r\n";
  head += header_lines(response.headers, {"Connection", "Content-Length", "Transfer-Encoding"});
  const bool bodiless = response.status == 204 || response.status == 304;
  if (framing == Framing::kLength && !bodiless) {
    head += "Content-Length: " + std::to_string(length) + "\r\n";
  }
  if (framing == Framing::kChunked) head += "Transfer-Encoding: chunked\r\n";
  head += keep_alive ? "Connection: keep-alive\r\n" : "Connection: close\r\n";
  return head + "\r\n";
}

std::string chunk_of(std::string_view piece) {
  char digits[16];
  const auto end = std::to_chars(digits, digits + sizeof(digits), piece.size(), 16).ptr;
  std::string chunk(digits, end);
  chunk += "\r\n";
  chunk += piece;
  chunk += "\r\n";
  return chunk;
}

}  // namespace gantry::http
