/* Asks through libgantry-client.so from C.
 *
 *   ask_c OPTIONS embed MODEL TEXT...    a line: by, model, device, vectors, width
 *   ask_c OPTIONS infer MODEL PROMPT     the text as it comes, then a line: by, model, device
 * What went wrong, and why the earlier ones did not answer, goes to stderr. */
#include <gantry_client.h>
#include <stdio.h>
#include <string.h>

static int show(void *user, const char *bytes, size_t count) {
  (void)user;
  return fwrite(bytes, 1, count, stdout) == count ? 0 : 1;
}

int main(int argc, char **argv) {
  if (argc < 5) return 2;
  gantry_client *client = gantry_client_open(argv[1]);
  gantry_request request = GANTRY_REQUEST;
  request.model = argv[3];
  request.on_bytes = show;
  gantry_answer *answer = NULL;
  if (strcmp(argv[2], "embed") == 0) {
    answer = gantry_embed(client, &request, (const char *const *)(argv + 4), (size_t)(argc - 4));
  } else {
    answer = gantry_infer(client, &request, argv[4]);
  }
  const int ok = gantry_answer_ok(answer);
  if (ok) {
    size_t width = 0;
    (void)gantry_answer_vector(answer, 0, &width);
    printf("\n%s %s %s %zu %zu\n", gantry_answer_by(answer), gantry_answer_model(answer),
           gantry_answer_device(answer), gantry_answer_vectors(answer), width);
    fprintf(stderr, "%s\n", gantry_answer_why(answer));
  } else {
    fprintf(stderr, "%s: %s\n", gantry_answer_code(answer), gantry_answer_error(answer));
  }
  gantry_answer_free(answer);
  gantry_client_close(client);
  return ok ? 0 : 1;
}
