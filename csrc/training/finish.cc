#include "training/finish.h"

#include <algorithm>
#include <numeric>
#include <type_traits>
#include <vector>

#include "kernels/features.h"
#include "training/loops.h"
#include "training/numbers.h"
#include "training/team.h"

// Rows whose channels are no multiple of 16 are taken several at a time, as one row of a common multiple; what is left over
// fills a last row with zeros. Pieces are of a fixed size and their sums are added in order: the result does not depend on the
// number of threads.
namespace bitwright {
namespace {

constexpr size_t kPiece = 32768;  // numbers that a thread takes at a time

const Loops& loops() {
  static const Loops& best = [&]() -> const Loops& {
    [[maybe_unused]] const Features features = allowed_features("");
#ifdef BITWRIGHT_X86
    if (has(features, kSkylake)) return loops_avx512;
    if (has(features, kAvx2)) return loops_avx2;
#endif
#ifdef BITWRIGHT_ARM
    if (has(features, kNeon)) return loops_neon;
#endif
    return loops_portable;
  }();
  return best;
}

const FinishLoops<float>& loops_of(const float*) { return loops().of_floats; }
const FinishLoops<uint16_t>& loops_of(const uint16_t*) { return loops().of_bfloats; }

struct Shape {
  size_t rows, width, piece, pieces;  // width: a multiple of kColumns; piece: rows of that width; the last row may not be full
  Shape(size_t all_rows, size_t channels) : width(std::lcm(channels, kColumns)) {
    rows = (all_rows * channels + width - 1) / width;
    piece = std::max<size_t>(1, kPiece / width);
    pieces = (rows + piece - 1) / piece;
  }
  size_t rows_of(size_t index) const { return std::min(rows - index * piece, piece); }
};

// The rows of a piece in an array of `size` numbers: those that are whole where they are, the rest copied, with zeros behind,
// or with the first row over and over.
template <class T>
class Piece {
 public:
  Piece(T* array, size_t size, const Shape& shape, size_t index, const T* first = nullptr, size_t channels = 1) {
    if (!array) return;
    const size_t start = index * shape.piece * shape.width, full = shape.rows_of(index) * shape.width;
    data_ = array + start;
    count_ = std::min(size - start, full);
    if (count_ == full) return;
    copy_.assign(full, 0);
    std::copy_n(data_, count_, copy_.begin());
    for (size_t i = count_; first && i < full; ++i) copy_[i] = first[i % channels];
  }
  T* data() { return copy_.empty() ? data_ : copy_.data(); }
  void write_back() const {
    if (!copy_.empty()) std::copy_n(copy_.begin(), count_, data_);
  }

 private:
  T* data_ = nullptr;
  size_t count_ = 0;
  std::vector<std::remove_const_t<T>> copy_;
};

// Numbers of the channels, repeated to the width.
std::vector<float> repeated(const float* numbers, float otherwise, size_t channels, size_t width) {
  std::vector<float> all(width, otherwise);
  if (numbers)
    for (size_t i = 0; i < width; ++i) all[i] = numbers[i % channels];
  return all;
}

// The parameters of a `Finish`, repeated to the width.
class Parameters {
 public:
  Parameters(const Finish& how, size_t width)
      : mean_(repeated(how.mean, 0, how.channels, width)),
        gain_(repeated(how.gain, 1, how.channels, width)),
        shift_(repeated(how.shift, 0, how.channels, width)),
        slope_(repeated(how.slope, 1, how.channels, width)),
        after_(repeated(how.after, 0, how.channels, width)) {}
  Columns columns() const { return {mean_.data(), gain_.data(), shift_.data(), slope_.data(), after_.data()}; }

 private:
  std::vector<float> mean_, gain_, shift_, slope_, after_;
};

// Adds up what the pieces left, [pieces, parts, width], for one part of it: [channels].
std::vector<double> added(const std::vector<float>& partial, size_t parts, size_t part, const Shape& shape, size_t channels) {
  std::vector<double> sums(channels, 0.0);
  for (size_t k = 0; k < shape.pieces; ++k) {
    const float* from = partial.data() + (k * parts + part) * shape.width;
    for (size_t i = 0; i < shape.width; ++i) sums[i % channels] += static_cast<double>(from[i]);
  }
  return sums;
}

void write(float* to, const std::vector<double>& sums) {
  if (to)
    for (size_t i = 0; i < sums.size(); ++i) to[i] = static_cast<float>(sums[i]);
}

template <class T>
void find_moments(const T* x, size_t rows, size_t channels, int threads, float* mean, float* variance) {
  const Shape shape(rows, channels);
  std::vector<float> first(channels);  // sums are of the distance to the first row: no digits are lost where means are large
  for (size_t i = 0; i < channels; ++i) first[i] = load(x[i]);
  const std::vector<float> centre = repeated(first.data(), 0, channels, shape.width);
  std::vector<float> partial(shape.pieces * 2 * shape.width);
  share(shape.pieces, threads, [&](size_t k) {
    Piece<const T> piece(x, rows * channels, shape, k, x, channels);
    float* sums = partial.data() + k * 2 * shape.width;
    loops_of(x).moments(piece.data(), shape.rows_of(k), shape.width, centre.data(), sums, sums + shape.width);
  });
  const std::vector<double> sums = added(partial, 2, 0, shape, channels), squares = added(partial, 2, 1, shape, channels);
  for (size_t i = 0; i < channels; ++i) {
    const double away = sums[i] / static_cast<double>(rows), left = squares[i] / static_cast<double>(rows) - away * away;
    mean[i] = static_cast<float>(static_cast<double>(first[i]) + away);
    variance[i] = static_cast<float>(left < 0 ? 0 : left);
  }
}

template <class T>
void run_forward(const T* x, const T* residual, T* y, const Finish& how) {
  const Shape shape(how.rows, how.channels);
  const Parameters parameters(how, shape.width);
  const Columns columns = parameters.columns();
  const size_t size = how.rows * how.channels;
  share(shape.pieces, how.threads, [&](size_t k) {
    Piece<const T> of_x(x, size, shape, k), of_residual(residual, size, shape, k);
    Piece<T> of_y(y, size, shape, k);
    loops_of(x).forward(of_x.data(), of_residual.data(), of_y.data(), shape.rows_of(k), shape.width, columns, how);
    of_y.write_back();
  });
}

template <class T>
double run_backward(const T* x, const T* residual, const T* gradient, T* dz, const Finish& how, const Sums& sums) {
  const Shape shape(how.rows, how.channels);
  const Parameters parameters(how, shape.width);
  const Columns columns = parameters.columns();
  const size_t size = how.rows * how.channels;
  std::vector<float> partial(shape.pieces * 5 * shape.width);
  share(shape.pieces, how.threads, [&](size_t k) {
    Piece<const T> of_x(x, size, shape, k), of_residual(residual, size, shape, k), of_gradient(gradient, size, shape, k);
    Piece<T> of_dz(dz, size, shape, k);
    loops_of(x).backward(of_x.data(), of_residual.data(), of_gradient.data(), of_dz.data(), shape.rows_of(k), shape.width,
                         columns, how, partial.data() + k * 5 * shape.width);
    of_dz.write_back();
  });
  float* const to[] = {sums.of_z, sums.of_zx, sums.of_slope, sums.of_after};
  for (size_t part = 0; part < 4; ++part)
    if (to[part]) write(to[part], added(partial, 5, part, shape, how.channels));
  const std::vector<double> of_scale = added(partial, 5, 4, shape, how.channels);
  return std::accumulate(of_scale.begin(), of_scale.end(), 0.0);
}

template <class T>
void run_affine(const T* dz, const T* x, T* dx, size_t rows, size_t channels, const Affine& by, int threads) {
  const Shape shape(rows, channels);
  const std::vector<float> mean = repeated(by.mean, 0, channels, shape.width), a = repeated(by.a, 1, channels, shape.width),
                           b = repeated(by.b, 0, channels, shape.width), c = repeated(by.c, 0, channels, shape.width);
  const size_t size = rows * channels;
  share(shape.pieces, threads, [&](size_t k) {
    Piece<const T> of_dz(dz, size, shape, k), of_x(x, size, shape, k);
    Piece<T> of_dx(dx, size, shape, k);
    loops_of(x).affine(of_dz.data(), of_x.data(), of_dx.data(), shape.rows_of(k), shape.width, mean.data(), a.data(), b.data(),
                       c.data());
    of_dx.write_back();
  });
}

}  // namespace

void channel_moments(const float* x, size_t rows, size_t channels, int threads, float* mean, float* variance) {
  find_moments(x, rows, channels, threads, mean, variance);
}
void channel_moments(const uint16_t* x, size_t rows, size_t channels, int threads, float* mean, float* variance) {
  find_moments(x, rows, channels, threads, mean, variance);
}
void finish(const float* x, const float* residual, float* y, const Finish& how) { run_forward(x, residual, y, how); }
void finish(const uint16_t* x, const uint16_t* residual, uint16_t* y, const Finish& how) { run_forward(x, residual, y, how); }
double finish_gradient(const float* x, const float* residual, const float* gradient, float* dz, const Finish& how,
                       const Sums& sums) {
  return run_backward(x, residual, gradient, dz, how, sums);
}
double finish_gradient(const uint16_t* x, const uint16_t* residual, const uint16_t* gradient, uint16_t* dz, const Finish& how,
                       const Sums& sums) {
  return run_backward(x, residual, gradient, dz, how, sums);
}
void channel_affine(const float* dz, const float* x, float* dx, size_t rows, size_t channels, const Affine& by, int threads) {
  run_affine(dz, x, dx, rows, channels, by, threads);
}
void channel_affine(const uint16_t* dz, const uint16_t* x, uint16_t* dx, size_t rows, size_t channels, const Affine& by,
                    int threads) {
  run_affine(dz, x, dx, rows, channels, by, threads);
}

}  // namespace bitwright
