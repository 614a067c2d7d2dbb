// Tests of the shared library through its own header: handles, wrong options, and nothing at all.
#include "client/gantry_client.h"

#include <gmock/gmock.h>

#include "http/http.h"

namespace {

using gantry::http::Exchange;
using testing::HasSubstr;

TEST(CApi, NothingIsHarmless) {
  gantry_client_close(nullptr);
  gantry_answer_free(nullptr);
  EXPECT_EQ(gantry_answer_ok(nullptr), 0);
  EXPECT_STREQ(gantry_answer_error(nullptr), "out of memory");
  EXPECT_STREQ(gantry_answer_text(nullptr), "");
  size_t count = 7;
  EXPECT_EQ(gantry_answer_vector(nullptr, 0, &count), nullptr);
  EXPECT_EQ(count, 0U);
  EXPECT_NE(gantry_answer_sound(nullptr, &count), nullptr);
  gantry_answer* answer = gantry_infer(nullptr, nullptr, nullptr);
  EXPECT_STREQ(gantry_answer_code(answer), "usage");
  gantry_answer_free(answer);
}

TEST(CApi, WrongOptionsAreToldAtOnceAndWithEachRequest) {
  gantry_client* client = gantry_client_open("{\"cloude\": 1}");
  EXPECT_THAT(gantry_client_error(client), HasSubstr("unknown option cloude"));
  gantry_request request = GANTRY_REQUEST;
  request.model = "m";
  gantry_answer* answer = gantry_infer(client, &request, "hello");
  EXPECT_FALSE(gantry_answer_ok(answer));
  EXPECT_THAT(gantry_answer_error(answer), HasSubstr("cloude"));
  gantry_answer_free(answer);
  gantry_client_close(client);
}

TEST(CApi, AnAnswerIsReadThroughItsHandle) {
  const std::string body =
      R"({"data":[{"embedding":[1,2,3]},{"embedding":[4,5,6]}],"device":"NPU"})";
  auto server = std::move(*gantry::http::serve(
      {.listen = {{"", "127.0.0.1", 0}}}, [&body](Exchange& exchange) {
        exchange.reply({200, {{"Content-Type", "application/json"}}, body});
      }));
  const std::string options = "{\"local\": \"\", \"npu\": \"" +
                              server->addresses().front().text() + "\"}";
  gantry_client* client = gantry_client_open(options.c_str());
  ASSERT_STREQ(gantry_client_error(client), "");
  gantry_request request = GANTRY_REQUEST;
  request.model = "m";
  const char* texts[] = {"one", "two"};
  gantry_answer* answer = gantry_embed(client, &request, texts, 2);
  ASSERT_TRUE(gantry_answer_ok(answer)) << gantry_answer_error(answer);
  EXPECT_STREQ(gantry_answer_by(answer), "npu");
  EXPECT_STREQ(gantry_answer_device(answer), "NPU");
  EXPECT_STREQ(gantry_answer_why(answer), "");
  ASSERT_EQ(gantry_answer_vectors(answer), 2U);
  size_t width = 0;
  EXPECT_EQ(gantry_answer_vector(answer, 1, &width)[2], 6.0F);
  EXPECT_EQ(width, 3U);
  EXPECT_EQ(gantry_answer_vector(answer, 2, &width), nullptr);
  gantry_answer_free(answer);
  // A program that was built when there were fewer fields.
  request.size = offsetof(gantry_request, on_bytes);
  answer = gantry_embed(client, &request, texts, 2);
  EXPECT_TRUE(gantry_answer_ok(answer));
  gantry_answer_free(answer);
  gantry_client_close(client);
}

}  // namespace
