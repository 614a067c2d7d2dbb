// The only file that sees Boost.Beast: its parsers behind our two, with the checks it leaves out.
#include "http/parser.h"

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <exception>

#include "http/message.h"

namespace gantry::http {

namespace {

namespace beast = boost::beast::http;
using boost::beast::error_code;

// A chunk's size line with its extensions, and the trailer: nobody we talk to needs more.
constexpr size_t kChunkHeadMax = 8192;

// A body that grows with the bytes that came, never by what a header announced: Beast's own
// string_body reserves Content-Length at once.
struct GrowingBody {
  using value_type = std::string;
  class reader {
   public:
    template <bool kIsRequest, class Fields>
    reader(beast::header<kIsRequest, Fields>&, value_type& body) : body_(body) {}
    template <class Length>
    void init(const Length&, error_code& error) {
      error = {};
    }
    template <class Buffers>
    size_t put(const Buffers& buffers, error_code& error) {
      error = {};
      size_t total = 0;
      for (auto it = boost::asio::buffer_sequence_begin(buffers);
           it != boost::asio::buffer_sequence_end(buffers); ++it) {
        const boost::asio::const_buffer piece = *it;
        body_.append(static_cast<const char*>(piece.data()), piece.size());
        total += piece.size();
      }
      return total;
    }
    void finish(error_code& error) { error = {}; }

   private:
    value_type& body_;
  };
};

std::string to_string(boost::beast::string_view text) { return {text.data(), text.size()}; }

template <class Message>
Headers copy_headers(const Message& message) {
  Headers headers;
  for (const auto& field : message) {
    headers.emplace_back(to_string(field.name_string()), to_string(field.value()));
  }
  return headers;
}

// Beast wants the bytes it left again, with more behind them: kept here, bounded.
template <class Parser>
size_t pump(Parser& parser, std::string& pending, std::string_view input, error_code& error) {
  std::string joined;
  std::string_view work = input;
  if (!pending.empty()) {
    joined = pending + std::string(input);
    work = joined;
    // Once it has seen "0\r\n" of the last chunk, Beast asserts that it gets 5 bytes next time.
    constexpr size_t kLastChunkMin = 5;
    if (work.front() == '0' && work.size() < kLastChunkMin) {
      pending = std::move(joined);
      error = {};
      return input.size();
    }
  }
  size_t used = 0;
  error = {};
  while (used < work.size() && !parser.is_done() && !error) {
    const size_t step =
        parser.put(boost::asio::buffer(work.data() + used, work.size() - used), error);
    used += step;
    if (step == 0 && !error) break;
  }
  if (error == beast::error::need_more) error = {};
  if (error) return input.size();
  if (parser.is_done()) {
    const size_t taken = used > pending.size() ? used - pending.size() : 0;
    pending.clear();
    return taken;
  }
  pending = std::string(work.substr(used));
  if (pending.size() > kChunkHeadMax) error = beast::error::bad_chunk_extension;
  return input.size();
}

// Checks the raw bytes of a head as they come, and finds its end.
class HeadScan {
 public:
  enum class Step { kMore, kEnd, kBareLineEnd, kControl, kFolded };
  Step next(char c) {
    const char before = last_;
    last_ = c;
    if (before == '\r' && c != '\n') return Step::kBareLineEnd;
    if (c == '\n') {
      if (before != '\r') return Step::kBareLineEnd;
      ++lines_;
      if (line_length_ == 0) return Step::kEnd;
      line_length_ = 0;
      return Step::kMore;
    }
    if (c == '\r') return Step::kMore;
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 32 && c != '\t') || byte == 127) return Step::kControl;
    if (line_length_ == 0 && lines_ > 0 && (c == ' ' || c == '\t')) return Step::kFolded;
    ++line_length_;
    return Step::kMore;
  }
  bool only_blank() const { return lines_ == 1; }

 private:
  char last_ = 0;
  size_t line_length_ = 0;
  size_t lines_ = 0;
};

size_t count(const Headers& headers, std::string_view name) {
  return static_cast<size_t>(std::count_if(headers.begin(), headers.end(), [&](const auto& pair) {
    return same_text(pair.first, name);
  }));
}

std::optional<Refusal> check_head(const Request& request, bool http_11) {
  const Headers& headers = request.headers;
  if (count(headers, "Host") > 1) return Refusal{400, "more than one Host header"};
  if (http_11 && count(headers, "Host") == 0) return Refusal{400, "no Host header"};
  if (count(headers, "Content-Length") > 1) {
    return Refusal{400, "more than one Content-Length header"};
  }
  const std::string_view length = request.header("Content-Length");
  if (!std::all_of(length.begin(), length.end(), [](char c) { return c >= '0' && c <= '9'; })) {
    return Refusal{400, "Content-Length is not a number"};
  }
  if (count(headers, "Transfer-Encoding") > 0) {
    if (count(headers, "Content-Length") > 0) {
      return Refusal{400, "both Content-Length and Transfer-Encoding"};
    }
    if (count(headers, "Transfer-Encoding") > 1 || !http_11 ||
        !same_text(request.header("Transfer-Encoding"), "chunked")) {
      return Refusal{501, "a Transfer-Encoding other than chunked"};
    }
  }
  if (!request.header("Expect").empty() && !same_text(request.header("Expect"), "100-continue")) {
    return Refusal{417, "an Expect header other than 100-continue"};
  }
  const bool asterisk = request.target == "*" && request.method == "OPTIONS";
  if (!request.target.starts_with('/') && !asterisk) {
    return Refusal{400, "the target of the request does not begin with /"};
  }
  const auto plain = [](char c) { return c > ' ' && c < 127; };
  if (!std::all_of(request.target.begin(), request.target.end(), plain)) {
    return Refusal{400, "the target of the request has bytes that must be percent-encoded"};
  }
  return std::nullopt;
}

Refusal refusal_of(const error_code& error) {
  if (error == beast::error::body_limit) return {413, "the body is too large"};
  if (error == beast::error::header_limit) return {431, "the head is too large"};
  if (error == beast::error::bad_version) return {505, "not HTTP/1.0 or HTTP/1.1"};
  return {400, "malformed request: " + error.message()};
}

}  // namespace

struct RequestParser::State {
  ParseLimits limits;
  HeadScan scan;
  std::string head;
  bool blank_line = false;  // one before the request line is forgiven, as the RFC asks
  std::optional<beast::request_parser<GrowingBody>> beast;
  std::string pending;
  Request request;
  bool http_11 = true;
  bool keep_alive = false;
  std::optional<Refusal> refusal;

  void refuse(Refusal why) {
    refusal = std::move(why);
    beast.reset();
  }

  size_t feed_head(std::string_view input) {
    for (size_t i = 0; i < input.size(); ++i) {
      const HeadScan::Step step = scan.next(input[i]);
      head += input[i];
      if (head.size() > limits.header_max.n) {
        refuse({431, "the head is too large"});
        return i + 1;
      }
      if (step == HeadScan::Step::kMore) continue;
      if (step == HeadScan::Step::kEnd) {
        if (!scan.only_blank() || blank_line) {
          parse_head();
          return i + 1;
        }
        blank_line = true;
        scan = {};
        head.clear();
        continue;
      }
      refuse({400, step == HeadScan::Step::kControl   ? "a control byte in the head"
                   : step == HeadScan::Step::kFolded ? "a folded header line"
                                                      : "a line that does not end in CR LF"});
      return i + 1;
    }
    return input.size();
  }

  void parse_head() {
    beast.emplace();
    beast->header_limit(static_cast<uint32_t>(std::min<uint64_t>(limits.header_max.n, 1u << 30)));
    beast->body_limit(limits.body_max.n);
    error_code error;
    beast->put(boost::asio::buffer(head), error);
    if (error) return refuse(refusal_of(error));
    if (!beast->is_header_done()) return refuse({400, "malformed request: incomplete head"});
    const auto& message = beast->get();
    request.method = to_string(message.method_string());
    request.target = to_string(message.target());
    request.headers = copy_headers(message);
    http_11 = message.version() == 11;
    keep_alive = beast->keep_alive();
    if (auto why = check_head(request, http_11)) return refuse(std::move(*why));
    head = {};
    beast->eager(true);
  }

  size_t feed_body(std::string_view input) {
    error_code error;
    const size_t taken = pump(*beast, pending, input, error);
    if (error) refuse(refusal_of(error));
    return taken;
  }
};

RequestParser::RequestParser(const ParseLimits& limits) : state_(std::make_unique<State>()) {
  state_->limits = limits;
}
RequestParser::~RequestParser() = default;
RequestParser::RequestParser(RequestParser&&) noexcept = default;
RequestParser& RequestParser::operator=(RequestParser&&) noexcept = default;

size_t RequestParser::feed(std::string_view input) {
  if (input.empty() || state_->refusal || done()) return 0;
  try {
    return state_->beast ? state_->feed_body(input) : state_->feed_head(input);
  } catch (const std::exception& error) {
    state_->refuse({503, std::string("the request could not be read: ") + error.what()});
    return input.size();
  }
}

bool RequestParser::started() const {
  return state_->beast || state_->refusal || !state_->head.empty() || state_->blank_line;
}
bool RequestParser::head_done() const { return state_->beast && !state_->refusal; }
bool RequestParser::done() const { return head_done() && state_->beast->is_done(); }
const std::optional<Refusal>& RequestParser::refusal() const { return state_->refusal; }
bool RequestParser::keep_alive() const { return state_->keep_alive; }
bool RequestParser::http_11() const { return state_->http_11; }
bool RequestParser::expects_continue() const {
  return state_->http_11 && !state_->request.header("Expect").empty();
}
const Request& RequestParser::request() const { return state_->request; }

Bytes RequestParser::buffered() const {
  return state_->beast ? Bytes{state_->beast->get().body().capacity()} : Bytes{};
}

Request RequestParser::take() {
  state_->request.body = std::move(state_->beast->get().body());
  return std::move(state_->request);
}

struct ResponseParser::State {
  ParseLimits limits;
  bool head_only = false;
  std::optional<beast::response_parser<GrowingBody>> beast;
  std::string pending;
  Response head;
  bool head_done = false;

  void restart() {
    beast.emplace();
    beast->header_limit(static_cast<uint32_t>(std::min<uint64_t>(limits.header_max.n, 1u << 30)));
    beast->body_limit(limits.body_max.n);
    beast->skip(head_only);
    pending.clear();
  }
};

ResponseParser::ResponseParser(const ParseLimits& limits, bool head_only)
    : state_(std::make_unique<State>()) {
  state_->limits = limits;
  state_->head_only = head_only;
  state_->restart();
}
ResponseParser::~ResponseParser() = default;

namespace {

Error response_error(const error_code& error) {
  if (error == beast::error::body_limit || error == beast::error::header_limit) {
    return {Code::kTooLarge, "the answer is too large", {}};
  }
  if (error == beast::error::partial_message || error == beast::error::end_of_stream) {
    return {Code::kUnavailable, "the other side closed the connection before its answer ended", {}};
  }
  return {Code::kCorrupt, "the answer is not HTTP: " + error.message(), {}};
}

// The head grows in `pending` (Beast takes it whole) up to the limit of heads, a body's chunk
// heads up to theirs.
template <class State>
Result<std::string_view> feed_response_head(State& s, std::string_view input) {
  s.pending.append(input);
  error_code error;
  const size_t used = s.beast->put(boost::asio::buffer(s.pending), error);
  if (error && error != beast::error::need_more) return fail(response_error(error));
  s.pending.erase(0, used);
  if (!s.beast->is_header_done()) {
    if (s.pending.size() > s.limits.header_max.n) {
      return fail(response_error(beast::error::header_limit));
    }
    return std::string_view{};
  }
  return input.substr(input.size() - std::min(input.size(), s.pending.size()));
}

}  // namespace

Result<void> ResponseParser::feed(std::string_view input) {
  State& s = *state_;
  try {
    while (!s.head_done) {
      auto rest = feed_response_head(s, input);
      if (!rest) return fail(rest.error());
      if (!s.beast->is_header_done()) return {};
      input = *rest;
      const auto& message = s.beast->get();
      if (message.result_int() >= 100 && message.result_int() < 200) {
        s.restart();  // "100 Continue" and its like announce the answer, they are not it
        if (input.empty()) return {};
        continue;
      }
      s.pending.clear();
      s.head.status = static_cast<int>(message.result_int());
      s.head.headers = copy_headers(message);
      s.head_done = true;
      s.beast->eager(true);
    }
    if (input.empty() || s.beast->is_done()) return {};
    error_code error;
    pump(*s.beast, s.pending, input, error);
    if (error) return fail(response_error(error));
    return {};
  } catch (const std::exception& error) {
    return fail(Code::kTooLarge, std::string("the answer could not be read: ") + error.what());
  }
}

Result<void> ResponseParser::feed_eof() {
  if (done()) return {};
  error_code error = beast::error::partial_message;
  if (state_->head_done) state_->beast->put_eof(error);
  if (error) return fail(response_error(error));
  return {};
}

bool ResponseParser::head_done() const { return state_->head_done; }
bool ResponseParser::done() const { return state_->head_done && state_->beast->is_done(); }
const Response& ResponseParser::head() const { return state_->head; }

std::string ResponseParser::take_body() {
  std::string body;
  body.swap(state_->beast->get().body());
  return body;
}

}  // namespace gantry::http
