// The library's face: nothing is thrown over it, and what is handed out lives as long as its owner.
#include <cstring>
#include <exception>

#include "client/chain.h"
#include "client/gantry_client.h"

struct gantry_client {
  gantry::RealClock clock;
  std::unique_ptr<gantry::Chain> chain;  // absent: the options were wrong
  gantry::Error wrong;
  std::string error;
};

struct gantry_answer {
  bool ok = false;
  std::string code, error;
  gantry::Given given;
};

namespace {

using gantry::Code;
using gantry::Error;
using gantry::Order;

const char* const kNoMemory = "out of memory";

gantry_answer* failed(const Error& error) {
  auto answer = std::make_unique<gantry_answer>();
  answer->code = gantry::code_name(error.code);
  answer->error = gantry::describe(error);
  return answer.release();
}

std::string text_of(const char* text) { return text == nullptr ? "" : text; }

// Fields that an older program does not know are as GANTRY_REQUEST has them.
gantry_request whole(const gantry_request* given) {
  gantry_request request = GANTRY_REQUEST;
  if (given == nullptr) return request;
  const size_t size = given->size < sizeof(request) ? given->size : sizeof(request);
  std::memcpy(&request, given, size);
  return request;
}

Order order_of(gantry::Work work, const gantry_request& request) {
  Order order;
  order.work = work;
  order.model = text_of(request.model);
  order.stays = request.stays_here != 0;
  order.system = text_of(request.system);
  order.voice = text_of(request.voice);
  order.tokens_max = request.tokens_max;
  if (request.temperature >= 0) order.temperature = request.temperature;
  const bool streams = work == gantry::Work::kInfer || work == gantry::Work::kSpeak;
  if (request.on_bytes != nullptr && streams) {
    order.on_piece = [call = request.on_bytes, user = request.user](std::string_view bytes) {
      return call(user, bytes.data(), bytes.size()) == 0;
    };
  }
  return order;
}

gantry_answer* answered(const gantry_client* client, const Order& order) {
  if (client == nullptr) return failed({Code::kUsage, "there is no client"});
  if (client->chain == nullptr) return failed(client->wrong);
  gantry::Result<gantry::Given> given = client->chain->ask(order);
  if (!given) return failed(given.error());
  auto answer = std::make_unique<gantry_answer>();
  answer->ok = true;
  answer->given = std::move(*given);
  return answer.release();
}

// The standard library throws where there is no memory: then there is no answer.
template <class Make>
gantry_answer* guarded(const gantry_client* client, Make make) noexcept {
  try {
    return answered(client, make());
  } catch (const std::exception&) {
    return nullptr;
  }
}

}  // namespace

extern "C" {

gantry_client* gantry_client_open(const char* options) {
  try {
    auto client = std::make_unique<gantry_client>();
    gantry::start_endpoints();
    const std::unique_ptr<gantry::Os> os = gantry::make_real_os();
    auto read = gantry::read_client_options(text_of(options), *os);
    if (read) {
      client->chain = std::make_unique<gantry::Chain>(std::move(*read), client->clock);
    } else {
      client->wrong = read.error();
      client->error = gantry::describe(read.error());
    }
    return client.release();
  } catch (const std::exception&) {
    return nullptr;
  }
}

const char* gantry_client_error(const gantry_client* client) {
  return client == nullptr ? kNoMemory : client->error.c_str();
}

void gantry_client_close(gantry_client* client) {
  const std::unique_ptr<gantry_client> gone(client);
}

gantry_answer* gantry_embed(gantry_client* client, const gantry_request* request,
                            const char* const* texts, size_t count) {
  return guarded(client, [&] {
    Order order = order_of(gantry::Work::kEmbed, whole(request));
    for (size_t i = 0; texts != nullptr && i < count; ++i) order.texts.push_back(text_of(texts[i]));
    return order;
  });
}

gantry_answer* gantry_infer(gantry_client* client, const gantry_request* request,
                            const char* prompt) {
  return guarded(client, [&] {
    Order order = order_of(gantry::Work::kInfer, whole(request));
    order.texts = {text_of(prompt)};
    return order;
  });
}

gantry_answer* gantry_transcribe(gantry_client* client, const gantry_request* request,
                                 const void* recording, size_t bytes) {
  return guarded(client, [&] {
    Order order = order_of(gantry::Work::kTranscribe, whole(request));
    if (recording != nullptr) order.recording.assign(static_cast<const char*>(recording), bytes);
    return order;
  });
}

gantry_answer* gantry_speak(gantry_client* client, const gantry_request* request,
                            const char* text) {
  return guarded(client, [&] {
    Order order = order_of(gantry::Work::kSpeak, whole(request));
    order.texts = {text_of(text)};
    return order;
  });
}

int gantry_answer_ok(const gantry_answer* answer) { return answer != nullptr && answer->ok; }
const char* gantry_answer_code(const gantry_answer* answer) {
  return answer == nullptr ? "internal" : answer->code.c_str();
}
const char* gantry_answer_error(const gantry_answer* answer) {
  return answer == nullptr ? kNoMemory : answer->error.c_str();
}
const char* gantry_answer_by(const gantry_answer* answer) {
  return answer == nullptr ? "" : answer->given.by.c_str();
}
const char* gantry_answer_model(const gantry_answer* answer) {
  return answer == nullptr ? "" : answer->given.model.c_str();
}
const char* gantry_answer_device(const gantry_answer* answer) {
  return answer == nullptr ? "" : answer->given.device.c_str();
}
const char* gantry_answer_why(const gantry_answer* answer) {
  return answer == nullptr ? "" : answer->given.why.c_str();
}
const char* gantry_answer_text(const gantry_answer* answer) {
  return answer == nullptr ? "" : answer->given.text.c_str();
}
const char* gantry_answer_sound(const gantry_answer* answer, size_t* bytes) {
  if (bytes != nullptr) *bytes = answer == nullptr ? 0 : answer->given.sound.size();
  return answer == nullptr ? "" : answer->given.sound.data();
}
size_t gantry_answer_vectors(const gantry_answer* answer) {
  return answer == nullptr ? 0 : answer->given.vectors.size();
}
const float* gantry_answer_vector(const gantry_answer* answer, size_t index, size_t* width) {
  const bool there = index < gantry_answer_vectors(answer);
  if (width != nullptr) *width = there ? answer->given.vectors[index].size() : 0;
  return there ? answer->given.vectors[index].data() : nullptr;
}
void gantry_answer_free(gantry_answer* answer) {
  const std::unique_ptr<gantry_answer> gone(answer);
}

}  // extern "C"
