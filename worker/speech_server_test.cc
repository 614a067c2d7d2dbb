// Loading behind the protocol.
#include "worker/speech_server.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>

namespace gantry {
namespace {

TEST(ServeSpeech, AModelThatDoesNotLoadIsOneErrorLine) {
  std::array<int, 2> out{};
  ASSERT_EQ(::pipe(out.data()), 0);
  EXPECT_EQ(serve_speech({.model = "/no/such/model.bin", .engine_dir = "/"}, STDIN_FILENO, out[1]),
            exit_code(Code::kNotFound));
  ::close(out[1]);
  std::string text(4096, '\0');
  text.resize(static_cast<size_t>(::read(out[0], text.data(), text.size())));
  ::close(out[0]);
  const Result<SpeechAnswer> answer = parse_speech_answer(text.substr(0, text.find('\n')));
  ASSERT_TRUE(answer);
  EXPECT_EQ(std::get<Error>(*answer).code, Code::kNotFound);
}

}  // namespace
}  // namespace gantry
