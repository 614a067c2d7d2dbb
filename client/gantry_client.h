// Gantry's client in C: embeddings, text, transcripts and speech from whoever can give them: an NPU
// worker first, then the daemon with its GPU and CPU, then an endpoint in the cloud
// (docs/client.md). For C99 and C++. Nothing here throws, and nothing ends the program.
//
// A client may be used by several threads at once. Texts are UTF-8; an answer's texts and figures
// live as long as the answer. Every function takes NULL where it stands for nothing.
#pragma once

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define GANTRY_API __attribute__((visibility("default")))

typedef struct gantry_client gantry_client;
typedef struct gantry_answer gantry_answer;

/* Text or sound as it comes; 0 goes on, anything else ends the request. */
typedef int (*gantry_on_bytes)(void *user, const char *bytes, size_t count);

/* What a request says beside its subject. Begin with GANTRY_REQUEST, then set what is wanted. */
typedef struct gantry_request {
  size_t size;              /* sizeof(gantry_request): later versions add fields at the end */
  const char *model;        /* its name here; the cloud's own name of it is in the options */
  int stays_here;           /* private: nothing of it leaves this machine */
  gantry_on_bytes on_bytes; /* of infer and speak; NULL: the answer has the whole */
  void *user;               /* on_bytes is given it */
  const char *system;       /* infer */
  unsigned tokens_max;      /* infer; 0: as many as whoever answers gives */
  double temperature;       /* infer; below 0: as whoever answers has it */
  const char *voice;        /* speak */
} gantry_request;
#define GANTRY_REQUEST {sizeof(gantry_request), NULL, 0, NULL, NULL, NULL, 0, -1.0, NULL}

/* `options` is JSON (docs/client.md); NULL: what runs on this machine, nothing in the cloud.
 * NULL only without memory. Of wrong options gantry_client_error tells, and each request. */
GANTRY_API gantry_client *gantry_client_open(const char *options);
GANTRY_API const char *gantry_client_error(const gantry_client *client); /* "": none */
GANTRY_API void gantry_client_close(gantry_client *client);

/* Each blocks until it is answered, and gives an answer also of what failed; NULL: no memory. */
GANTRY_API gantry_answer *gantry_embed(gantry_client *client, const gantry_request *request,
                                       const char *const *texts, size_t count);
GANTRY_API gantry_answer *gantry_infer(gantry_client *client, const gantry_request *request,
                                       const char *prompt);
/* `recording`: the bytes of a file of sound. */
GANTRY_API gantry_answer *gantry_transcribe(gantry_client *client, const gantry_request *request,
                                            const void *recording, size_t bytes);
/* A WAV file, as it is spoken. */
GANTRY_API gantry_answer *gantry_speak(gantry_client *client, const gantry_request *request,
                                       const char *text);

GANTRY_API int gantry_answer_ok(const gantry_answer *answer);
/* "" when it is well; "usage", "not_found", "permission", "timeout", "cancelled", "unavailable" and
 * the other words of the daemon's errors. The error names everybody who was asked, and why not. */
GANTRY_API const char *gantry_answer_code(const gantry_answer *answer);
GANTRY_API const char *gantry_answer_error(const gantry_answer *answer);
GANTRY_API const char *gantry_answer_by(const gantry_answer *answer); /* npu, local, cloud */
GANTRY_API const char *gantry_answer_model(const gantry_answer *answer);
GANTRY_API const char *gantry_answer_device(const gantry_answer *answer);
/* Why those before who answered did not: "npu: ...; local: ..."; "": it was the first. */
GANTRY_API const char *gantry_answer_why(const gantry_answer *answer);
GANTRY_API const char *gantry_answer_text(const gantry_answer *answer); /* infer, transcribe */
GANTRY_API const char *gantry_answer_sound(const gantry_answer *answer, size_t *bytes);
GANTRY_API size_t gantry_answer_vectors(const gantry_answer *answer);
GANTRY_API const float *gantry_answer_vector(const gantry_answer *answer, size_t index,
                                             size_t *width);
GANTRY_API void gantry_answer_free(gantry_answer *answer);

#ifdef __cplusplus
}
#endif
