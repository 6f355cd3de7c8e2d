// Runs of bytes, copied or filled by vectors of 32 and less. The last vector begins so much earlier that it ends with the run:
// those bytes are written twice. (Masks would write them once, and take four times as long.)
#pragma once

#include "kernels/move/blocks.h"
#include "kernels/move/bytes16.h"

namespace bitwright {
namespace {

template <class Word>
inline void copy_ends(const uint8_t* in, uint8_t* out, int64_t count) {
  Word first, last;
  __builtin_memcpy(&first, in, sizeof(Word)), __builtin_memcpy(&last, in + count - sizeof(Word), sizeof(Word));
  __builtin_memcpy(out, &first, sizeof(Word)), __builtin_memcpy(out + count - sizeof(Word), &last, sizeof(Word));
}

constexpr int64_t kLongRun = 1024;  // from which on the C library's way of copying and filling is faster

inline void copy_run(const uint8_t* in, uint8_t* out, int64_t count) {
  if (count >= kLongRun) return static_cast<void>(__builtin_memcpy(out, in, static_cast<size_t>(count)));
  for (; count > 64; count -= 32, in += 32, out += 32) store32(out, load32(in));
  if (count >= 32) return store32(out, load32(in)), store32(out + count - 32, load32(in + count - 32));
  if (count >= 16) return store(out, load(in)), store(out + count - 16, load(in + count - 16));
  if (count >= 8) return copy_ends<uint64_t>(in, out, count);
  if (count >= 4) return copy_ends<uint32_t>(in, out, count);
  for (int64_t i = 0; i < count; ++i) out[i] = in[i];
}

inline void fill_run(uint8_t* out, int64_t count, uint8_t code) {
  if (count >= kLongRun) return static_cast<void>(__builtin_memset(out, code, static_cast<size_t>(count)));
  int64_t c = 0;
  for (; c + 32 <= count; c += 32) store32(out + c, splat32(code));
  if (c + 16 <= count) store(out + c, splat(code)), c += 16;
  if (c + 8 <= count) store_half(out + c, splat(code)), c += 8;
  for (; c < count; ++c) out[c] = code;
}

}  // namespace
}  // namespace bitwright
