// 16 channels of up to 4 outputs in a row: codes and weights widened to 16 bits, products added to int32 lane by lane.
#include "kernels/depthwise/taps.h"
#include "kernels/epilogue_neon.h"

namespace bitwright {
namespace {

using Taps = TapSets<int8_t, 1>;

class Runner {
 public:
  Runner(const DepthwiseParams& p, const Buffers& at) : p_(p), at_(at), epilogue_(p.epilogue) { Taps::offsets(p, offset_); }

  void row(int y, int c) const {
    const uint8_t* in = window_of(p_, at_, y, c);
    const int8_t* weights = Taps::weights(p_, c);
    const uint8_t* second = at_.second + y * p_.second.row;
    uint8_t* out = at_.out + y * p_.out.row;
    for (int x = 0; x < p_.out.w; x += kOuts) {
      const uint8_t *windows[kOuts], *seconds[kOuts];
      uint8_t* outs[kOuts];
      for (int i = 0; i < kOuts; ++i) {
        int place = x + i < p_.out.w ? x + i : p_.out.w - 1;  // the last is stored again
        windows[i] = in + place * p_.window.stride_w * p_.in.pixel;
        seconds[i] = second + place * p_.second.pixel, outs[i] = out + place * p_.out.pixel;
      }
      int32x4_t acc[kOuts][4];
      sums(windows, weights, c, acc);
      epilogue_.store<kOuts>(acc, c, seconds, outs, p_.out.lanes - c);
    }
  }

 private:
  static constexpr int kOuts = 4;  // outputs that share weights, and the epilogue's numbers

  BITWRIGHT_INLINE void sums(const uint8_t* const (&windows)[kOuts], const int8_t* w, int c, int32x4_t (&acc)[kOuts][4]) const {
    unrolled<4>([&](auto v) BITWRIGHT_INLINE {
      unrolled<kOuts>([&](auto i) BITWRIGHT_INLINE { acc[i][v] = vld1q_s32(p_.start + c + 4 * v); });
    });
    for (int tap = 0; tap < Taps::taps(p_); ++tap, w += kChannels) {
      int8x16_t weights = vld1q_s8(w);
      int16x8_t low = vmovl_s8(vget_low_s8(weights)), high = vmovl_high_s8(weights);
      unrolled<kOuts>([&](auto i) BITWRIGHT_INLINE {
        uint8x16_t codes = vld1q_u8(windows[i] + offset_[tap]);
        int16x8_t a = vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(codes))), b = vreinterpretq_s16_u16(vmovl_high_u8(codes));
        acc[i][0] = vmlal_s16(acc[i][0], vget_low_s16(a), vget_low_s16(low));
        acc[i][1] = vmlal_high_s16(acc[i][1], a, low);
        acc[i][2] = vmlal_s16(acc[i][2], vget_low_s16(b), vget_low_s16(high));
        acc[i][3] = vmlal_high_s16(acc[i][3], b, high);
      });
    }
  }

  const DepthwiseParams& p_;
  const Buffers& at_;
  Epilogue128 epilogue_;
  ptrdiff_t offset_[Taps::kMostOffsets];
};

}  // namespace

const Kernel<DepthwiseParams> depthwise_neon = {units, Taps::packed_bytes, Taps::pack, nullptr, run_rows<Runner>};

}  // namespace bitwright
