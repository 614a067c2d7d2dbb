// Heads as they go over the wire.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

#include "http/http.h"

namespace gantry::http {

// "Name: value\r\n" each, without those in `except`. Bytes that could start another line become
// spaces; headers with an empty or malformed name are left out.
std::string header_lines(const Headers& headers, std::initializer_list<std::string_view> except);

std::string_view reason_phrase(int status);

enum class Framing { kLength, kChunked, kUntilClose };

// Status line and headers, blank line included. `length` is used with kLength.
std::string response_head(const Response& response, Framing framing, size_t length,
                          bool keep_alive);

// One chunk of a chunked body.
std::string chunk_of(std::string_view piece);

}  // namespace gantry::http
