// Asks through libgantry-client.so from C++, each line of stdin one request of one client:
//
//   ask_cpp OPTIONS
//   embed|infer|private|transcribe|speak MODEL REST      REST: a text, or a file to transcribe
// Each is answered with a line, "ok BY DEVICE|RESULT|WHY" or "CODE|ERROR".
#include <fstream>
#include <gantry/client.h>
#include <iostream>
#include <iterator>
#include <sstream>

namespace {

using gantry::client::Answer;
using gantry::client::Client;
using gantry::client::Request;

std::string flat(std::string text) {
  for (char& c : text) {
    if (c == '\n') c = '/';
  }
  return text;
}

Answer ask(const Client& client, const std::string& what, const std::string& model,
           const std::string& rest, std::string* streamed) {
  Request request{model};
  request.stays_here = what == "private";
  if (what == "embed") return client.embed(request, {rest, "another text"});
  if (what == "transcribe") {
    std::ifstream file(rest, std::ios::binary);
    return client.transcribe(request, std::string(std::istreambuf_iterator<char>(file), {}));
  }
  request.on_bytes = [streamed](std::string_view bytes) {
    *streamed += bytes;
    return true;
  };
  if (what == "speak") return client.speak(request, rest);
  request.temperature = 0;
  return client.infer(request, rest);
}

}  // namespace

int main(int argc, char** argv) {
  const Client client(argc > 1 ? argv[1] : "");
  if (!client.error().empty()) std::cerr << client.error() << "\n";
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    std::string what, model, rest, streamed;
    words >> what >> model;
    std::getline(words >> std::ws, rest);
    for (size_t at = 0; (at = rest.find("\\n", at)) != std::string::npos;) {
      rest.replace(at, 2, "\n");
    }
    const Answer answer = ask(client, what, model, rest, &streamed);
    if (!answer.ok()) {
      std::cout << answer.code() << "|" << flat(std::string(answer.error())) << std::endl;
      continue;
    }
    std::cout << "ok " << answer.by() << " " << answer.device() << "|";
    if (what == "embed") {
      std::cout << answer.vectors() << " of " << answer.vector(1).size();
    } else if (what == "speak") {
      std::cout << streamed.substr(0, 4) << " " << (streamed.size() > 10'000 ? "long" : "short");
    } else {
      std::cout << flat(what == "transcribe" ? std::string(answer.text()) : streamed);
    }
    std::cout << "|" << flat(std::string(answer.why())) << std::endl;
  }
  return 0;
}
