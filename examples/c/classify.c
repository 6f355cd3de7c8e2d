/* classify ARTIFACT PIXELS: PIXELS is a file of raw images, height x width x channels bytes each, one after the other; prints
 * the class and the logit of each. */
#include <bitwright.h>
#include <stdio.h>
#include <stdlib.h>

static int failed(const char* what) { return fprintf(stderr, "classify: %s\n", what), 1; }

int main(int argc, char** argv) {
  char error[256];
  int height, width, channels;
  if (argc != 3) return failed("expected ARTIFACT PIXELS");
  bitwright_model* model = bitwright_open(argv[1], 0, error, sizeof error);
  if (!model) return failed(error);
  bitwright_image(model, &height, &width, &channels);
  size_t bytes = (size_t)height * width * channels, logits = (size_t)bitwright_logits(model);
  unsigned char* pixels = malloc(bytes);
  float* found = malloc(logits * sizeof *found);
  FILE* file = fopen(argv[2], "rb");
  if (!file || !pixels || !found) return failed("cannot read the pixels");
  while (fread(pixels, 1, bytes, file) == bytes) {
    if (bitwright_run(model, pixels, 1, found, error, sizeof error)) return failed(error);
    size_t best = 0;
    for (size_t i = 1; i < logits; ++i)
      if (found[i] > found[best]) best = i;
    if (logits == 1) best = found[0] > 0; /* one logit tells two classes apart */
    printf("%s %.9g\n", bitwright_class_name(model, (int)best), found[logits > 1 ? best : 0]);
  }
  fclose(file), free(pixels), free(found), bitwright_close(model);
  return 0;
}
