// gantry-espeak [--voice NAME=VOICE]...: espeak-ng as a worker, JSON lines on stdin and stdout.
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <string_view>

#include "voice/serve_espeak.h"
#include "worker/call_server.h"

int main(int argc, char** argv) {
  std::vector<std::pair<std::string, std::string>> voices;
  for (int i = 1; i < argc; ++i) {
    const std::string word = i + 1 < argc ? argv[i + 1] : "";
    const size_t cut = word.find('=');
    if (std::string_view(argv[i]) != "--voice" || cut == 0 || cut == std::string::npos) {
      std::fprintf(stderr, "usage: gantry-espeak [--voice NAME=VOICE]...\n");
      return 2;
    }
    voices.emplace_back(word.substr(0, cut), word.substr(cut + 1));
    ++i;
  }
  ::signal(SIGPIPE, SIG_IGN);  // a child that died is an error, not our end
  return gantry::serve_espeak(voices, STDIN_FILENO, gantry::take_stdout());
}
