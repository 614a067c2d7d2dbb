// Fuzz target: the parsers of what strangers send. The first byte picks one, the second a step:
// however its bytes are cut into pieces, a message must be read the same way.
#include <cstdlib>

#include "http/message.h"
#include "http/multipart.h"
#include "http/parser.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

using namespace gantry;        // NOLINT: a program of its own
using namespace gantry::http;  // NOLINT

const ParseLimits kLimits{KiB(4), KiB(8)};

struct Read {
  bool done = false;
  int status = 0;
  size_t taken = 0;
  std::string line;
  std::string body;
  bool operator==(const Read&) const = default;
};

Read read_request(std::string_view text, size_t step) {
  RequestParser parser(kLimits);
  Read read;
  while (read.taken < text.size() && !parser.done() && !parser.refusal()) {
    const size_t used = parser.feed(text.substr(read.taken, step));
    if (used == 0 || used > step) std::abort();
    read.taken += used;
  }
  read.done = parser.done();
  if (parser.refusal()) {
    read.status = parser.refusal()->status;
    if (read.status < 400 || read.status > 599 || parser.refusal()->cause.empty()) std::abort();
    read.taken = 0;  // how much was looked at before the refusal is not promised
  }
  if (!read.done) return read;
  Request request = parser.take();
  if (request.body.size() > kLimits.body_max.n) std::abort();
  read.line = request.method + " " + request.target;
  for (const auto& [name, value] : request.headers) read.line += "\n" + name + ":" + value;
  read.body = std::move(request.body);
  return read;
}

Read read_response(std::string_view text, size_t step) {
  ResponseParser parser(kLimits, false);
  Read read;
  for (size_t at = 0; at < text.size() && !parser.done(); at += step) {
    const auto fed = parser.feed(text.substr(at, step));
    if (!fed) {
      read.status = static_cast<int>(fed.error().code) + 1;
      return read;
    }
    if (parser.head_done()) read.body += parser.take_body();
  }
  (void)parser.feed_eof();
  read.done = parser.done();
  if (parser.head_done()) read.line = std::to_string(parser.head().status);
  if (read.body.size() > kLimits.body_max.n) std::abort();
  return read;
}

void check_form(std::string_view text) {
  const size_t line = std::min(text.find('\n'), text.size());
  const std::string_view body = text.substr(std::min(line + 1, text.size()));
  const auto form = parse_form(text.substr(0, line), body);
  if (!form) {
    if (form.error().message.empty()) std::abort();
    return;
  }
  if (form->size() > kMultipartPartsMax) std::abort();
  for (const FormPart& part : *form) {
    const bool inside = part.content.empty() ||
                        (part.content.data() >= body.data() &&
                         part.content.data() + part.content.size() <= body.data() + body.size());
    if (!inside) std::abort();
  }
}

void check_address(std::string_view text) {
  const auto address = parse_address(text);
  if (address) {
    const auto again = parse_address(address->text());
    if (!again || again->text() != address->text()) std::abort();
    if (again->loopback() != address->loopback()) std::abort();
  }
  Request request;
  request.target = std::string(text);
  (void)request.query("a");
  (void)request.path();
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // Beyond it a chunk's head may be refused in pieces and taken whole: the limit is on memory.
  if (size < 2 || size > 8192) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 2, size - 2);
  const size_t step = size_t{data[1]} % 32 + 1;
  switch (data[0] % 4) {
    case 0: {
      // Malformed chunk heads may be refused at once or only once more has come; but what is a
      // message one way is the same message every way.
      const Read pieces = read_request(text, step);
      const Read whole = read_request(text, SIZE_MAX);
      if ((pieces.done || whole.done) && !(pieces == whole)) std::abort();
      break;
    }
    case 1:
      if (!(read_response(text, step).done == read_response(text, 64).done)) std::abort();
      break;
    case 2:
      check_form(text);
      break;
    default:
      check_address(text);
  }
  return 0;
}
