// The first step of a plan whose graph reads bits: the caller's pixels, C bytes each without gaps, become planes of 0 and 1, a
// byte each, plane k of channel c at c * K + k. The bits are those of docs/arithmetic.md, "The image as bits".
#include <algorithm>
#include <array>
#include <cstring>
#include <stdexcept>

#include "ops/step.h"

namespace bitwright {
namespace {

class EncodeStep : public Step {
 public:
  EncodeStep(const Layout& layout, int image, int planes)
      : map(layout.location(image).map), planes(planes), channels(map.c / planes) {
    name = "image", op = "encode";
    bytes = static_cast<int64_t>(map.h) * map.w * (channels + map.c);
    operands = {{Role::output, image}};
  }

 protected:
  const uint8_t* pixels_of(const Memory& at, int y) const { return at.image + static_cast<size_t>(y) * map.w * channels; }
  uint8_t* bits_of(const Memory& at, int y) const { return at[Role::output] + y * map.row; }

  const Map map;
  const int planes, channels;  // K, and C of the pixels
};

// Each level has its row of K bits in a table, which is copied kWidth bytes at a time. What is too much lies where the bits of
// the next channel or pixel go, which are written later, by the same thread. K = 5, C = 3, kWidth = 8, a pixel of 16 bytes:
//
//   channel 0   b b b b b x x x
//   channel 1             b b b b b x x x
//   channel 2                       b b b b b x|x x
//   next pixel                                 |b b b b b x x x
//
// The last pixels of a row, where too much would be written behind it, get their K bytes alone.
template <int kWidth>
class LevelsStep : public EncodeStep {
 public:
  LevelsStep(const Layout& layout, int image, const Encoder& encoder)
      : EncodeStep(layout, image, encoder.planes), stride_((planes + kWidth - 1) / kWidth * kWidth), table_(256 * stride_) {
    kernel = "encode, a table of 256 levels";
    units = map.h;
    for (int level = 0; level < 256; ++level)
      std::copy_n(encoder.table.data() + level * planes, planes, table_.data() + level * stride_);
    ptrdiff_t room = (map.w - 1) * map.pixel + map.lanes - ((channels - 1) * planes + stride_);
    roomy_ = room < 0 ? 0 : static_cast<int>(std::min<ptrdiff_t>(room / map.pixel + 1, map.w));
  }

  void run(const Memory& at, int begin, int end) const noexcept override {
    for (int y = begin; y < end; ++y) {
      const uint8_t* pixel = pixels_of(at, y);
      uint8_t* out = bits_of(at, y);
      for (int x = 0; x < roomy_; ++x, pixel += channels, out += map.pixel)
        for (int c = 0; c < channels; ++c)
          for (int i = 0; i < stride_; i += kWidth) std::memcpy(out + c * planes + i, row(pixel[c]) + i, kWidth);
      for (int x = roomy_; x < map.w; ++x, pixel += channels, out += map.pixel)
        for (int c = 0; c < channels; ++c) std::memcpy(out + c * planes, row(pixel[c]), planes);
    }
  }

  std::vector<std::span<const uint8_t>> packed() const override { return {table_}; }

 private:
  const uint8_t* row(int level) const { return table_.data() + level * stride_; }

  int stride_, roomy_;
  std::vector<uint8_t> table_;
};

// Error diffusion of a channel, row by row from the left; `below` holds, for pixel x of the next row, at x + 1, the sixteenths
// that have been given to it so far. As in Pillow, sums are divided towards zero.
class DitherStep : public EncodeStep {
 public:
  DitherStep(const Layout& layout, int image, const Encoder& encoder) : EncodeStep(layout, image, encoder.planes) {
    kernel = "encode, error diffusion";
    units = channels;
    scratch_bytes = 2 * (map.w + 2) * sizeof(int);
  }

  void run(const Memory& at, int begin, int end) const noexcept override {
    for (int c = begin; c < end; ++c) channel(at, c);
  }

 private:
  void channel(const Memory& at, int c) const {
    int *here = reinterpret_cast<int*>(at.scratch), *below = here + map.w + 2;
    std::fill_n(here, map.w + 2, 0);
    for (int y = 0; y < map.h; ++y, std::swap(here, below)) {
      const uint8_t* pixel = pixels_of(at, y) + c;
      uint8_t* out = bits_of(at, y) + c;
      std::fill_n(below, map.w + 2, 0);
      int right = 0;
      for (int x = 0; x < map.w; ++x) {
        int v = std::clamp(pixel[x * channels] + (here[x + 1] + right) / 16, 0, 255);
        int bit = v > 128, left_over = v - 255 * bit;
        out[x * map.pixel] = static_cast<uint8_t>(bit);
        right = 7 * left_over;
        below[x] += 3 * left_over, below[x + 1] += 5 * left_over, below[x + 2] += left_over;
      }
    }
  }
};

// A threshold for each channel of the picture, the one with the greatest variance between its two sides.
class OtsuStep : public EncodeStep {
 public:
  OtsuStep(const Layout& layout, int image, const Encoder& encoder) : EncodeStep(layout, image, encoder.planes) {
    kernel = "encode, Otsu's threshold";
    units = channels;
  }

  void run(const Memory& at, int begin, int end) const noexcept override {
    for (int c = begin; c < end; ++c) {
      int least = threshold(at, c);
      for (int y = 0; y < map.h; ++y) {
        const uint8_t* pixel = pixels_of(at, y) + c;
        uint8_t* out = bits_of(at, y) + c;
        for (int x = 0; x < map.w; ++x) out[x * map.pixel] = pixel[x * channels] >= least;
      }
    }
  }

 private:
  int threshold(const Memory& at, int c) const {
    std::array<int64_t, 256> histogram = {};
    const uint8_t* pixel = pixels_of(at, 0) + c;
    int64_t total = static_cast<int64_t>(map.h) * map.w, all = 0;
    for (int64_t i = 0; i < total; ++i) ++histogram[pixel[i * channels]];
    for (int level = 0; level < 256; ++level) all += level * histogram[level];
    int found = 128;
    double most = 0;
    for (int64_t level = 1, count = 0, sum = 0; level < 256; ++level) {  // count pixels below level, of this sum
      count += histogram[level - 1], sum += (level - 1) * histogram[level - 1];
      if (count == 0 || count == total) continue;
      double distance = static_cast<double>(count * all - total * sum);
      double between = distance * distance / static_cast<double>(count * (total - count));
      if (between > most) most = between, found = static_cast<int>(level);
    }
    return found;
  }
};

std::unique_ptr<Step> make_levels(const Layout& layout, int image, const Encoder& encoder) {
  if (encoder.planes <= 4) return std::make_unique<LevelsStep<4>>(layout, image, encoder);
  if (encoder.planes <= 8) return std::make_unique<LevelsStep<8>>(layout, image, encoder);
  return std::make_unique<LevelsStep<16>>(layout, image, encoder);
}

template <class T>
std::unique_ptr<Step> make_step(const Layout& layout, int image, const Encoder& encoder) {
  return std::make_unique<T>(layout, image, encoder);
}

struct Row {
  const char* name;
  bool has_table;
  std::unique_ptr<Step> (*make)(const Layout&, int image, const Encoder&);
};

constexpr Row kEncoders[] = {
    {"levels", true, make_levels},
    {"dither", false, make_step<DitherStep>},
    {"otsu", false, make_step<OtsuStep>},
};

const Row& row_of(const Encoder& encoder) {
  for (const Row& row : kEncoders)
    if (encoder.name == row.name) return row;
  throw std::invalid_argument("unknown encoder '" + encoder.name + "'");
}

}  // namespace

void check_encoder(const Encoder& encoder, const Value& bits) {
  auto expect = [&](bool holds, const char* what) {
    if (!holds) throw std::invalid_argument("encoder '" + encoder.name + "': " + what);
  };
  const Row& row = row_of(encoder);
  expect(encoder.planes >= 1 && bits.channels() % encoder.planes == 0, "its planes do not divide the image's channels");
  expect(bits.max_code == 1, "the graph does not read bits");
  if (!row.has_table) return expect(encoder.planes == 1 && encoder.table.empty(), "expected one plane and no table");
  expect(encoder.table.size() == size_t{256} * encoder.planes, "expected a table of 256 levels");
  for (uint8_t bit : encoder.table) expect(bit <= 1, "the table holds something else than bits");
}

std::unique_ptr<Step> make_encoded(const Layout& layout, int image, const Encoder& encoder) {
  return row_of(encoder).make(layout, image, encoder);
}

}  // namespace bitwright
