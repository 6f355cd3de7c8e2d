// A vector of channels at a time: compared with their thresholds, or the planes of their codes taken apart.
#pragma once

#include "kernels/bitpack/bitpack.h"
#include "kernels/vec/vec.h"

namespace bitwright {
namespace {

class Packer {
 public:
  explicit Packer(const BitpackParams& p) : p_(p), table_(p.table), plane_bytes_(p.out.lanes / 8) {}

  static int units(const BitpackParams& p) { return p.out.h; }

  static void run(const BitpackParams& p, const Buffers& at, int begin, int end) {
    const Packer packer(p);
    for (int y = begin; y < end; ++y)
      for (int x = 0; x < p.out.w; ++x) {
        const uint8_t* in = at.in + y * p.in.row + x * p.in.pixel;
        uint8_t* out = at.out + y * p.out.row + x * p.out.pixel;
        for (int c = 0; c < p.out.lanes; c += Vec::kBytes)  // words are whole, whatever channels there are
          packer.channels(Vec::load(c < p.out.c ? in + c : in), c, out + c / 8);
      }
  }

 private:
  // Channels c.., whose bits in plane 0 go to `out`.
  void channels(Vec::Bytes codes, int c, uint8_t* out) const {
    const Vec::Mask inside = Vec::first(p_.out.c > c ? p_.out.c - c : 0);
    const size_t size = p_.out.lanes - c >= Vec::kBytes ? Vec::kBytes / 8 : 4;
    if (p_.thresholds) {
      Vec::Mask flips;
      __builtin_memcpy(&flips, reinterpret_cast<const uint8_t*>(p_.flips) + c / 8, sizeof flips);
      Vec::Mask bits = (Vec::at_least(codes, Vec::load(p_.thresholds + c)) ^ flips) & inside;
      __builtin_memcpy(out, &bits, size);
      return;
    }
    if (p_.table) codes = table_.look_up(codes);
    for (int plane = 0; plane < p_.planes; ++plane) {
      Vec::Mask bits = Vec::bits(codes, plane) & inside;
      __builtin_memcpy(out + plane * plane_bytes_, &bits, size);
    }
  }

  const BitpackParams& p_;
  Vec::Table table_;
  ptrdiff_t plane_bytes_;
};

}  // namespace
}  // namespace bitwright
