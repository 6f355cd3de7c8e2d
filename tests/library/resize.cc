// resize HEIGHT WIDTH NEW_HEIGHT NEW_WIDTH FILTER: RGB pixels from stdin, resized to stdout, for tests of other processors.
#include "pictures/resize.h"

#include <cstdio>
#include <cstdlib>
#include <vector>

int main(int argc, char** argv) {
  using namespace bitwright;
  if (argc != 6 || !can_resize(allowed_features(""))) return std::fprintf(stderr, "resize: no kernel\n"), 1;
  int height = std::atoi(argv[1]), width = std::atoi(argv[2]), rows = std::atoi(argv[3]), columns = std::atoi(argv[4]);
  std::vector<unsigned char> in(static_cast<size_t>(height) * width * 3), out(static_cast<size_t>(rows) * columns * 3);
  if (std::fread(in.data(), 1, in.size(), stdin) != in.size()) return std::fprintf(stderr, "resize: too few pixels\n"), 1;
  resize_rgb(in.data(), height, width, rows, columns, static_cast<Filter>(std::atoi(argv[5])), {0, 0, rows, columns},
             out.data());
  std::fwrite(out.data(), 1, out.size(), stdout);
}
