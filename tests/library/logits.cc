// logits ARTIFACT PIXELS [THREADS]: the float32 logits of a file of raw images, as they lie in memory, for tests of other processors.
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "bitwright.h"

#ifdef _WIN32
#include <fcntl.h>
#include <io.h>
#endif

int main(int argc, char** argv) {
#ifdef _WIN32
  _setmode(_fileno(stdout), _O_BINARY);
#endif
  char error[256];
  int threads = argc == 4 ? std::atoi(argv[3]) : 2;
  bitwright_model* model = argc >= 3 ? bitwright_open(argv[1], threads, error, sizeof(error)) : nullptr;
  std::FILE* file = model ? std::fopen(argv[2], "rb") : nullptr;
  if (!file) return std::fprintf(stderr, "logits: %s\n", error), 1;
  int height, width, channels;
  bitwright_image(model, &height, &width, &channels);
  std::vector<unsigned char> pixels(static_cast<size_t>(height) * width * channels);
  std::vector<float> logits(static_cast<size_t>(bitwright_logits(model)));
  while (std::fread(pixels.data(), 1, pixels.size(), file) == pixels.size()) {
    if (bitwright_run(model, pixels.data(), 1, logits.data(), error, sizeof(error)))
      return std::fprintf(stderr, "logits: %s\n", error), 1;
    std::fwrite(logits.data(), sizeof(float), logits.size(), stdout);
  }
  std::fclose(file), bitwright_close(model);
}
