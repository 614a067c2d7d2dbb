// Tests of the parsers: pieces of any size, limits, malformed and smuggling shapes.
#include "http/parser.h"

#include <gtest/gtest.h>

namespace gantry::http {
namespace {

// Feeds in pieces of `step` bytes until the message ends or is refused; returns the bytes taken.
size_t feed_all(RequestParser& parser, std::string_view text, size_t step) {
  size_t taken = 0;
  while (taken < text.size() && !parser.done() && !parser.refusal()) {
    const std::string_view piece = text.substr(taken, step);
    std::string_view rest = piece;
    while (!rest.empty() && !parser.done() && !parser.refusal()) {
      const size_t used = parser.feed(rest);
      rest.remove_prefix(used);
      taken += used;
    }
  }
  return taken;
}

struct Outcome {
  bool done = false;
  int status = 0;  // of the refusal
  std::string cause;
  Request request;
  size_t taken = 0;
};

Outcome parse(std::string_view text, ParseLimits limits = {}, size_t step = SIZE_MAX) {
  RequestParser parser(limits);
  Outcome outcome;
  outcome.taken = feed_all(parser, text, step);
  outcome.done = parser.done();
  if (parser.refusal()) {
    outcome.status = parser.refusal()->status;
    outcome.cause = parser.refusal()->cause;
  }
  if (outcome.done) outcome.request = parser.take();
  return outcome;
}

constexpr std::string_view kGet = "GET /v1/models?x=1 HTTP/1.1\r\nHost: a\r\nX-Y: z\r\n\r\n";
constexpr std::string_view kPost = "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
constexpr std::string_view kChunked =
    "POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    "3\r\nhel\r\n2;ext=1\r\nlo\r\n0\r\nX-Trailer: t\r\n\r\n";

TEST(RequestParser, ReadsRequestsInPiecesOfAnySize) {
  for (size_t step : {size_t{1}, size_t{2}, size_t{7}, size_t{1000}}) {
    auto get = parse(kGet, {}, step);
    ASSERT_TRUE(get.done) << step << get.cause;
    EXPECT_EQ(get.request.method, "GET");
    EXPECT_EQ(get.request.target, "/v1/models?x=1");
    EXPECT_EQ(get.request.header("x-y"), "z");
    EXPECT_EQ(parse(kPost, {}, step).request.body, "hello") << step;
    auto chunked = parse(kChunked, {}, step);
    EXPECT_EQ(chunked.request.body, "hello") << step << chunked.cause;
    EXPECT_EQ(chunked.request.header("X-Trailer"), "") << "a trailer is no header";
  }
}

TEST(RequestParser, LeavesTheNextRequestAlone) {
  const std::string two = std::string(kChunked) + std::string(kGet);
  EXPECT_EQ(parse(two).taken, kChunked.size());
  const std::string three = std::string(kPost) + std::string(kGet);
  EXPECT_EQ(parse(three).taken, kPost.size());
  for (size_t step : {size_t{1}, size_t{5}}) {
    EXPECT_EQ(parse(two, {}, step).taken, kChunked.size()) << step;
  }
}

TEST(RequestParser, TruncatedAtAnyByteIsNeverDone) {
  for (std::string_view whole : {kGet, kPost, kChunked}) {
    for (size_t n = 0; n < whole.size(); ++n) {
      auto outcome = parse(whole.substr(0, n));
      EXPECT_FALSE(outcome.done) << n;
      EXPECT_EQ(outcome.status, 0) << n << outcome.cause;
    }
    EXPECT_TRUE(parse(whole).done);
  }
}

struct Bad {
  const char* name;
  std::string text;
  int status;
};

std::string with_head(const std::string& lines) {
  return "POST /p HTTP/1.1\r\nHost: a\r\n" + lines + "\r\n";
}

class Refused : public testing::TestWithParam<Bad> {};

TEST_P(Refused, WithItsStatus) {
  for (size_t step : {size_t{1}, SIZE_MAX}) {
    auto outcome = parse(GetParam().text, {}, step);
    EXPECT_FALSE(outcome.done);
    EXPECT_EQ(outcome.status, GetParam().status) << outcome.cause;
    EXPECT_FALSE(outcome.cause.empty());
  }
}

std::string nul(std::string text) {
  for (char& c : text) c = c == '@' ? '\0' : c;
  return text;
}

const Bad kBad[] = {
    {"both_lengths", with_head("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), 400},
    {"both_lengths_turned", with_head("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), 400},
    {"two_lengths", with_head("Content-Length: 5\r\nContent-Length: 6\r\n"), 400},
    {"same_length_twice", with_head("Content-Length: 5\r\nContent-Length: 5\r\n"), 400},
    {"length_list", with_head("Content-Length: 5, 5\r\n"), 400},
    {"length_negative", with_head("Content-Length: -5\r\n"), 400},
    {"length_plus", with_head("Content-Length: +5\r\n"), 400},
    {"length_hex", with_head("Content-Length: 0x5\r\n"), 400},
    {"length_overflow", with_head("Content-Length: 99999999999999999999\r\n"), 400},
    {"encoding_twice", with_head("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
     400},
    {"encoding_other", with_head("Transfer-Encoding: gzip\r\n"), 501},
    {"encoding_list", with_head("Transfer-Encoding: gzip, chunked\r\n"), 501},
    {"encoding_hidden", with_head("Transfer-Encoding: xchunked\r\n"), 501},
    {"encoding_http10", "POST /p HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 501},
    {"bare_lf", "GET / HTTP/1.1\nHost: a\n\n", 400},
    {"bare_lf_in_header", with_head("X: a\nY: b\r\n"), 400},
    {"bare_cr", with_head("X: a\rY: b\r\n"), 400},
    {"folded", with_head("X: a\r\n b\r\n"), 400},
    {"nul", nul(with_head("X: a@b\r\n")), 400},
    {"nul_in_target", nul("GET /@ HTTP/1.1\r\nHost: a\r\n\r\n"), 400},
    {"space_before_colon", with_head("Content-Length : 5\r\n"), 400},
    {"header_without_colon", with_head("nonsense\r\n"), 400},
    {"no_host", "GET / HTTP/1.1\r\n\r\n", 400},
    {"two_hosts", with_head("Host: b\r\n"), 400},
    {"absolute_target", "GET http://evil/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"connect", "CONNECT evil:80 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"no_version", "GET /\r\n\r\n", 400},
    {"version_2", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505},
    {"version_09", "GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505},
    {"garbage", "\x16\x03\x01\x02\x01\x01", 400},
    {"text", "hello world\r\n\r\n", 400},
    {"expect_other", with_head("Expect: miracles\r\n"), 417},
    {"raw_utf8_target", "GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"bad_chunk", with_head("Transfer-Encoding: chunked\r\n") + "zz\r\n", 400},
    {"chunk_without_end", with_head("Transfer-Encoding: chunked\r\n") + "3\r\nhello\r\n", 400},
    {"chunk_overflow", with_head("Transfer-Encoding: chunked\r\n") + "fffffffffffffffff\r\n", 400},
    {"chunk_extension_endless",
     with_head("Transfer-Encoding: chunked\r\n") + "1;x=" + std::string(9000, 'a'), 400},
    {"trailer_endless",
     with_head("Transfer-Encoding: chunked\r\n") + "0\r\nX: " + std::string(9000, 'a'), 400},
    {"two_blank_lines", "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
};

INSTANTIATE_TEST_SUITE_P(Shapes, Refused, testing::ValuesIn(kBad),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(RequestParser, ForgivesOneBlankLineBeforeARequest) {
  EXPECT_TRUE(parse("\r\n" + std::string(kGet)).done);
}

TEST(RequestParser, HeadLimitAtNAndNPlusOne) {
  EXPECT_TRUE(parse(kGet, {Bytes{kGet.size()}, MiB(1)}).done);
  auto outcome = parse(kGet, {Bytes{kGet.size() - 1}, MiB(1)});
  EXPECT_FALSE(outcome.done);
  EXPECT_EQ(outcome.status, 431);
}

TEST(RequestParser, BodyLimitAtNAndNPlusOne) {
  for (std::string_view text : {kPost, kChunked}) {
    EXPECT_TRUE(parse(text, {KiB(1), Bytes{5}}).done);
    auto outcome = parse(text, {KiB(1), Bytes{4}});
    EXPECT_FALSE(outcome.done);
    EXPECT_EQ(outcome.status, 413);
  }
}

TEST(RequestParser, RefusesALargeBodyByItsHeadAlone) {
  RequestParser parser({KiB(1), Bytes{4}});
  parser.feed("POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n");
  ASSERT_TRUE(parser.refusal());
  EXPECT_EQ(parser.refusal()->status, 413);
}

TEST(RequestParser, AnAnnouncedBodyCostsNothingUntilItComes) {
  RequestParser parser({KiB(1), GiB(8)});
  parser.feed("POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 8000000000\r\n\r\nab");
  EXPECT_FALSE(parser.refusal());
  EXPECT_LT(parser.buffered(), KiB(64));
}

TEST(RequestParser, ShowsTheHeadBeforeTheBody) {
  RequestParser parser({});
  const std::string_view text = kPost;
  const size_t used = parser.feed(text);
  EXPECT_EQ(used, text.size() - 5);
  EXPECT_TRUE(parser.head_done());
  EXPECT_FALSE(parser.done());
  EXPECT_EQ(parser.request().header("Content-Length"), "5");
  EXPECT_FALSE(parser.expects_continue());
  parser.feed(text.substr(used));
  EXPECT_TRUE(parser.done());
}

TEST(RequestParser, KeepAlive) {
  const auto keeps = [](std::string_view text) {
    RequestParser parser({});
    parser.feed(text);
    EXPECT_TRUE(parser.done());
    return parser.keep_alive();
  };
  EXPECT_TRUE(keeps("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
  EXPECT_FALSE(keeps("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
  EXPECT_FALSE(keeps("GET / HTTP/1.0\r\n\r\n"));
}

Result<std::string> read_response(std::string_view text, size_t step, bool eof, bool head_only,
                                  ParseLimits limits = {}) {
  ResponseParser parser(limits, head_only);
  std::string body;
  for (size_t at = 0; at < text.size() && !parser.done(); at += step) {
    auto fed = parser.feed(text.substr(at, step));
    if (!fed) return fail(fed.error());
    if (parser.head_done()) body += parser.take_body();
  }
  if (eof) {
    auto fed = parser.feed_eof();
    if (!fed) return fail(fed.error());
  }
  if (!parser.done()) return fail(Code::kUnavailable, "not done");
  return std::to_string(parser.head().status) + " " + body + parser.take_body();
}

TEST(ResponseParser, ReadsEveryKindOfBody) {
  const std::string length = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
  const std::string chunked =
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
  const std::string until_close = "HTTP/1.1 200 OK\r\n\r\nhello";
  const std::string continued = "HTTP/1.1 100 Continue\r\n\r\n" + length;
  for (size_t step : {size_t{1}, size_t{3}, size_t{500}}) {
    EXPECT_EQ(read_response(length, step, false, false).value_or("?"), "200 hello");
    EXPECT_EQ(read_response(chunked, step, false, false).value_or("?"), "200 hello");
    EXPECT_EQ(read_response(until_close, step, true, false).value_or("?"), "200 hello");
    EXPECT_EQ(read_response(continued, step, false, false).value_or("?"), "200 hello");
    EXPECT_EQ(read_response("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", step, false, true)
                  .value_or("?"),
              "200 ");
    EXPECT_EQ(read_response("HTTP/1.1 204 None\r\n\r\n", step, false, false).value_or("?"), "204 ");
  }
}

TEST(ResponseParser, NamesWhatIsWrong) {
  const auto code = [](std::string_view text, ParseLimits limits = {}) {
    auto body = read_response(text, 4, true, false, limits);
    return body ? "read: " + *body : std::string(code_name(body.error().code));
  };
  EXPECT_EQ(code("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell"), "unavailable");
  EXPECT_EQ(code("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel"), "unavailable");
  EXPECT_EQ(code("HTTP/1.1 200 OK\r\nContent-"), "unavailable");
  EXPECT_EQ(code(""), "unavailable");
  EXPECT_EQ(code("SSH-2.0-OpenSSH_9.2\r\n\r\n"), "corrupt");
  const std::string five = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
  EXPECT_EQ(code(five, {KiB(1), Bytes{5}}), "read: 200 hello");
  EXPECT_EQ(code(five, {KiB(1), Bytes{4}}), "too_large");
  EXPECT_EQ(code("HTTP/1.1 200 OK\r\nX: " + std::string(2000, 'a'), {KiB(1), Bytes{5}}),
            "too_large");
}

}  // namespace
}  // namespace gantry::http
