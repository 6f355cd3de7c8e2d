// A target as libFuzzer calls it: inputs grow where they reach code that none has reached before.
#include "fuzz/target.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  bitwright::fuzz::one_input(data, size);
  return 0;
}
