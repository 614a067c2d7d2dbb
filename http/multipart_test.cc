// Tests of the form parser.
#include "http/multipart.h"

#include <gtest/gtest.h>

namespace gantry::http {
namespace {

constexpr std::string_view kType = "multipart/form-data; boundary=XX";

std::string part(const std::string& disposition, const std::string& content) {
  return "--XX\r\nContent-Disposition: " + disposition + "\r\n\r\n" + content + "\r\n";
}

TEST(Form, ReadsFieldsAndFiles) {
  const std::string body = part("form-data; name=\"model\"", "micro-asr") +
                           "--XX\r\nContent-Disposition: form-data; name=\"file\"; "
                           "filename=\"a;\\\"b\\\".wav\"\r\nContent-Type: audio/wav\r\n\r\n" +
                           std::string("RI\0FF\r\n--X\r\n", 12) + "\r\n--XX--\r\n";
  auto form = parse_form(kType, body);
  ASSERT_TRUE(form) << form.error().message;
  ASSERT_EQ(form->size(), 2u);
  EXPECT_EQ((*form)[0].name, "model");
  EXPECT_EQ((*form)[0].content, "micro-asr");
  EXPECT_EQ((*form)[1].name, "file");
  EXPECT_EQ((*form)[1].filename, "a;\"b\".wav");
  EXPECT_EQ((*form)[1].content_type, "audio/wav");
  EXPECT_EQ((*form)[1].content, std::string("RI\0FF\r\n--X\r\n", 12));
}

TEST(Form, TakesAQuotedBoundaryAndEmptyFields) {
  auto form = parse_form("Multipart/Form-Data; charset=utf-8; boundary=\"XX\"",
                         part("form-data; name=a", "") + "--XX--");
  ASSERT_TRUE(form) << form.error().message;
  EXPECT_EQ((*form)[0].name, "a");
  EXPECT_EQ((*form)[0].content, "");
  EXPECT_TRUE(parse_form(kType, "--XX--")->empty());
}

TEST(Form, RefusesWhatIsMalformed) {
  const std::string good = part("form-data; name=\"a\"", "1") + "--XX--";
  ASSERT_TRUE(parse_form(kType, good));
  const auto code = [](std::string_view type, std::string_view body) {
    auto form = parse_form(type, body);
    return form ? std::string("read") : std::string(code_name(form.error().code));
  };
  EXPECT_EQ(code("application/json", good), "usage");
  EXPECT_EQ(code("multipart/form-data", good), "usage");
  EXPECT_EQ(code("multipart/form-data; boundary=", good), "usage");
  EXPECT_EQ(code("multipart/form-data; boundary=\"XX", good), "usage");
  EXPECT_EQ(code("multipart/form-data; boundary=YY", good), "corrupt");
  EXPECT_EQ(code(kType, ""), "corrupt");
  EXPECT_EQ(code(kType, "preamble\r\n" + good), "corrupt");
  EXPECT_EQ(code(kType, "--XXjunk\r\n" + good), "corrupt");
  EXPECT_EQ(code(kType, part("attachment; name=\"a\"", "1") + "--XX--"), "corrupt");
  EXPECT_EQ(code(kType, part("form-data; filename=\"a\"", "1") + "--XX--"), "corrupt");
  EXPECT_EQ(code(kType, "--XX\r\nno colon\r\n\r\n1\r\n--XX--"), "corrupt");
  EXPECT_EQ(code(kType, "--XX\r\nContent-Type: x\r\n\r\n1\r\n--XX--"), "corrupt");
  for (size_t n = 0; n < good.size(); ++n) {
    EXPECT_EQ(code(kType, good.substr(0, n)), "corrupt") << n;
  }
}

TEST(Form, LimitsAtNAndNPlusOne) {
  std::string body;
  for (size_t i = 0; i < kMultipartPartsMax; ++i) body += part("form-data; name=a", "1");
  EXPECT_TRUE(parse_form(kType, body + "--XX--"));
  body += part("form-data; name=a", "1");
  EXPECT_EQ(parse_form(kType, body + "--XX--").error().code, Code::kTooLarge);

  const std::string disposition = "Content-Disposition: form-data; name=a";
  const auto sized = [&](size_t head) {
    return "--XX\r\nX: " + std::string(head - disposition.size() - 5, 'x') + "\r\n" + disposition +
           "\r\n\r\n1\r\n--XX--";
  };
  EXPECT_TRUE(parse_form(kType, sized(kMultipartHeadMax)));
  EXPECT_EQ(parse_form(kType, sized(kMultipartHeadMax + 1)).error().code, Code::kTooLarge);
}

TEST(Form, BoundaryLengthAtNAndNPlusOne) {
  const std::string boundary(70, 'b');
  EXPECT_TRUE(parse_form("multipart/form-data; boundary=" + boundary, "--" + boundary + "--"));
  EXPECT_FALSE(parse_form("multipart/form-data; boundary=b" + boundary, "--b" + boundary + "--"));
}

}  // namespace
}  // namespace gantry::http
