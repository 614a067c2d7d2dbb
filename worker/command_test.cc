// External commands: splitting without a shell, ports, and a real program behind HTTP.
#include "worker/command.h"

#include <gtest/gtest.h>

#include "worker/test_bench.h"

namespace gantry {
namespace {

using Words = std::vector<std::string>;

TEST(SplitCommand, LikeAShellAndNothingMore) {
  const auto split = [](std::string_view text) { return split_command(text).value_or(Words{}); };
  EXPECT_EQ(split("a b  c\t d\n e\r\n"), (Words{"a", "b", "c", "d", "e"}));
  EXPECT_EQ(split(R"(a 'b c' "d e" f\ g '' "")"), (Words{"a", "b c", "d e", "f g", "", ""}));
  EXPECT_EQ(split(R"(a"b"'c'd)"), (Words{"abcd"}));
  EXPECT_EQ(split(R"("a\"b\\c\n" 'd\e')"), (Words{R"(a"b\c\n)", R"(d\e)"}));
  EXPECT_EQ(split("a \\\n  b"), (Words{"a", "b"}));
  EXPECT_EQ(split("a \\\r\n  b"), (Words{"a", "b"}));
  EXPECT_EQ(split("# why\na # more\nb#c"), (Words{"a", "b#c"}));
  EXPECT_EQ(split("a $HOME `id` $(id) ; rm * | x > y"),
            (Words{"a", "$HOME", "`id`", "$(id)", ";", "rm", "*", "|", "x", ">", "y"}));
  EXPECT_EQ(split("a\\"), (Words{"a"}));
}

TEST(SplitCommand, RefusesWhatItCannotMean) {
  for (const std::string& text :
       {std::string(), std::string(" \n "), std::string("a 'b"), std::string("a \"b"),
        std::string("# only why"), std::string("a\0b", 3), std::string(kCommandMax + 1, 'a')}) {
    const auto got = split_command(text);
    ASSERT_FALSE(got) << text.substr(0, 20);
    EXPECT_EQ(got.error().code, Code::kUsage);
    EXPECT_FALSE(got.error().remedy.empty());
  }
  EXPECT_TRUE(split_command(std::string(kCommandMax, 'a')));
}

TEST(WithPort, EveryMacroIsReplaced) {
  EXPECT_EQ(with_port("a ${PORT} b${PORT}", 81), "a 81 b81");
  EXPECT_EQ(with_port("$PORT ${PORT", 81), "$PORT ${PORT");
}

TEST(FreePort, IsOne) {
  const Result<uint16_t> port = free_port();
  ASSERT_TRUE(port);
  EXPECT_GT(*port, 1023);
}

TEST(CommandWorker, AnswersWhereItWasToldTo) {
  if (!exists("/usr/bin/python3")) GTEST_SKIP() << "python3 is not installed";
  const TestFolder folder;
  folder.write("hello.txt", "hello");
  const std::unique_ptr<Os> os = make_real_os();
  WorkerSpec spec;
  spec.model = "pages";
  spec.engine = EngineKind::kCommand;
  spec.command = "/usr/bin/python3 -m http.server\n  ${PORT} --bind 127.0.0.1 --directory '" +
                 folder.path() + "'";
  spec.check_endpoint = "/hello.txt";
  auto worker = start_worker(*os, bench_context(folder), spec);
  ASSERT_TRUE(worker) << worker.error().message;
  const http::Cancel cancel{false};
  ASSERT_TRUE((*worker)->ready(cancel));
  const auto page = http::fetch((*worker)->address(), {.target = "/hello.txt"}, {});
  ASSERT_TRUE(page);
  EXPECT_EQ(page->body, "hello");
  EXPECT_EQ((*worker)->transcribe({"x"}, cancel, nullptr).error().code, Code::kUnsupported);
  (*worker)->stop();
  EXPECT_FALSE(http::fetch((*worker)->address(), {.target = "/hello.txt"}, {}));
}

TEST(CommandWorker, ACommandThatDiesSaysWhy) {
  const TestFolder folder;
  const std::unique_ptr<Os> os = make_real_os();
  WorkerSpec spec;
  spec.model = "broken";
  spec.engine = EngineKind::kCommand;
  spec.command = "sh -c 'echo no such weights; exit 4'";
  auto worker = start_worker(*os, bench_context(folder), spec);
  ASSERT_TRUE(worker);
  const http::Cancel cancel{false};
  const Result<void> ready = (*worker)->ready(cancel);
  ASSERT_FALSE(ready);
  EXPECT_EQ(ready.error().code, Code::kWorkerFailed);
  EXPECT_NE(ready.error().message.find("exit status 4: no such weights"), std::string::npos);
}

TEST(CommandWorker, OtherMachinesAreRefused) {
  const TestFolder folder;
  const std::unique_ptr<Os> os = make_real_os();
  WorkerSpec spec;
  spec.model = "far";
  spec.engine = EngineKind::kCommand;
  spec.command = "true";
  spec.proxy = "http://10.0.0.1:${PORT}";
  EXPECT_EQ(start_worker(*os, bench_context(folder), spec).error().code, Code::kPermission);
}

}  // namespace
}  // namespace gantry
