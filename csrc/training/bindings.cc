#include "training/bindings.h"

#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>

#include <optional>
#include <stdexcept>

#include "training/fake_quantize.h"
#include "training/finish.h"
#include "training/histogram.h"
#include "training/round_weight.h"
#include "without_gil.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace bitwright {
namespace {

template <class T>
using Flat = nb::ndarray<T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
template <class T>
using Maybe = std::optional<Flat<T>>;

void expect(bool fine) {
  if (!fine) throw std::invalid_argument("expected arrays of lengths that fit each other");
}

template <class T>
T* pointer(const Maybe<T>& array, size_t size) {
  if (!array) return nullptr;
  expect(array->shape(0) == size);
  return array->data();
}

FakeQuantizer quantizer(float scale, int zero, int hi) {
  return {scale, 1 / scale, static_cast<float>(zero), static_cast<float>(hi)};
}

void count(Flat<const float> values, float scale, nb::ndarray<int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu> counts) {
  without_gil([&] { count_bins(values.data(), values.shape(0), scale, counts.data(), static_cast<int>(counts.shape(0) / 2)); });
}

template <class T>
void fake_quantize_flat(Flat<const T> x, Flat<T> y, float scale, int zero, int hi, int threads) {
  expect(x.shape(0) == y.shape(0));
  const FakeQuantizer q = quantizer(scale, zero, hi);
  without_gil([&] { fake_quantize(x.data(), y.data(), x.shape(0), q, threads); });
}

template <class T>
double fake_quantize_gradient_flat(Flat<const T> x, Flat<const T> gradient, Flat<T> dx, float scale, int zero, int hi,
                                   int threads) {
  expect(x.shape(0) == dx.shape(0) && x.shape(0) == gradient.shape(0));
  const FakeQuantizer q = quantizer(scale, zero, hi);
  return without_gil([&] { return fake_quantize_gradient(x.data(), gradient.data(), dx.data(), x.shape(0), q, threads); });
}

WeightRounding weight_rounding(size_t size, const Flat<const float>& scale, float least, int lo, int hi) {
  const size_t rows = scale.shape(0);
  expect(rows > 0 && size % rows == 0);
  return {rows, size / rows, scale.data(), least, static_cast<float>(lo), static_cast<float>(hi)};
}

template <class T>
void round_weight_flat(Flat<const float> w, Flat<T> y, Flat<const float> scale, float least, int lo, int hi) {
  expect(w.shape(0) == y.shape(0));
  const WeightRounding how = weight_rounding(w.shape(0), scale, least, lo, hi);
  without_gil([&] { round_weight(w.data(), y.data(), how); });
}

template <class T>
void round_weight_gradient_flat(Flat<const float> w, Flat<const T> gradient, Flat<float> dw, Flat<const float> scale,
                                Flat<float> dscale, float factor, float least, int lo, int hi) {
  expect(w.shape(0) == gradient.shape(0) && w.shape(0) == dw.shape(0) && scale.shape(0) == dscale.shape(0));
  const WeightRounding how = weight_rounding(w.shape(0), scale, least, lo, hi);
  without_gil([&] { round_weight_gradient(w.data(), gradient.data(), dw.data(), dscale.data(), factor, how); });
}

template <class T>
void moments_flat(Flat<const T> x, Flat<float> mean, Flat<float> variance, int threads) {
  const size_t channels = mean.shape(0);
  expect(channels > 0 && variance.shape(0) == channels && x.shape(0) > 0 && x.shape(0) % channels == 0);
  without_gil([&] { channel_moments(x.data(), x.shape(0) / channels, channels, threads, mean.data(), variance.data()); });
}

using Columns = const Maybe<const float>&;

Finish finish_of(size_t size, size_t channels, Columns mean, Columns gain, Columns shift, Columns slope, Columns after,
                 float low, float high, int rounding, float scale, int zero, int hi, int threads) {
  expect(channels > 0 && size > 0 && size % channels == 0 && slope.has_value() == after.has_value());
  if (rounding < 0 || rounding > static_cast<int>(Rounding::kTriangle)) throw std::invalid_argument("no such rounding");
  return {size / channels,
          channels,
          pointer(mean, channels),
          pointer(gain, channels),
          pointer(shift, channels),
          pointer(slope, channels),
          pointer(after, channels),
          low,
          high,
          static_cast<Rounding>(rounding),
          quantizer(scale, zero, hi),
          threads};
}

template <class T>
void finish_flat(Flat<const T> x, const Maybe<const T>& residual, Flat<T> y, size_t channels, Columns mean, Columns gain,
                 Columns shift, Columns slope, Columns after, float low, float high, int rounding, float scale, int zero,
                 int hi, int threads) {
  const size_t size = x.shape(0);
  expect(y.shape(0) == size);
  const Finish how = finish_of(size, channels, mean, gain, shift, slope, after, low, high, rounding, scale, zero, hi, threads);
  const T* added = pointer(residual, size);
  without_gil([&] { finish(x.data(), added, y.data(), how); });
}

template <class T>
double finish_gradient_flat(Flat<const T> x, const Maybe<const T>& residual, Flat<T> dz, size_t channels, Columns mean,
                            Columns gain, Columns shift, Columns slope, Columns after, float low, float high, int rounding,
                            float scale, int zero, int hi, int threads, Flat<const T> gradient, const Maybe<float>& of_z,
                            const Maybe<float>& of_zx, const Maybe<float>& of_slope, const Maybe<float>& of_after) {
  const size_t size = x.shape(0);
  expect(dz.shape(0) == size && gradient.shape(0) == size);
  const Finish how = finish_of(size, channels, mean, gain, shift, slope, after, low, high, rounding, scale, zero, hi, threads);
  const Sums sums{pointer(of_z, channels), pointer(of_zx, channels), pointer(of_slope, channels), pointer(of_after, channels)};
  const T* added = pointer(residual, size);
  return without_gil([&] { return finish_gradient(x.data(), added, gradient.data(), dz.data(), how, sums); });
}

template <class T>
void channel_affine_flat(Flat<const T> dz, Flat<const T> x, Flat<T> dx, Flat<const float> mean, Flat<const float> a,
                         Flat<const float> b, Flat<const float> c, int threads) {
  const size_t size = x.shape(0), channels = mean.shape(0);
  expect(dz.shape(0) == size && dx.shape(0) == size && channels > 0 && size > 0 && size % channels == 0);
  expect(a.shape(0) == channels && b.shape(0) == channels && c.shape(0) == channels);
  const Affine by{mean.data(), a.data(), b.data(), c.data()};
  without_gil([&] { channel_affine(dz.data(), x.data(), dx.data(), size / channels, channels, by, threads); });
}

// Functions of float32 and of bfloat16, as its bits.
template <class T>
void add(nb::module_& m) {
  m.def("fake_quantize", &fake_quantize_flat<T>, "x"_a.noconvert(), "y"_a.noconvert(), "scale"_a, "zero_point"_a, "hi"_a,
        "threads"_a = 1, "y = scale * (clip(round(x / scale + zero), 0, hi) - zero)");
  m.def("fake_quantize_gradient", &fake_quantize_gradient_flat<T>, "x"_a.noconvert(), "gradient"_a.noconvert(),
        "dx"_a.noconvert(), "scale"_a, "zero_point"_a, "hi"_a, "threads"_a = 1, "Writes dL/dx, returns dL/dscale");
  m.def("round_weight", &round_weight_flat<T>, "w"_a.noconvert(), "y"_a.noconvert(), "scale"_a.noconvert(), "least"_a, "lo"_a,
        "hi"_a, "y = s * clip(round(w / s), lo, hi) with s = max(|scale|, least) of each row");
  m.def("round_weight_gradient", &round_weight_gradient_flat<T>, "w"_a.noconvert(), "gradient"_a.noconvert(),
        "dw"_a.noconvert(), "scale"_a.noconvert(), "dscale"_a.noconvert(), "factor"_a, "least"_a, "lo"_a, "hi"_a,
        "Writes dL/dw, and dL/dscale times `factor`");
  m.def("channel_moments", &moments_flat<T>, "x"_a.noconvert(), "mean"_a.noconvert(), "variance"_a.noconvert(), "threads"_a,
        "Writes mean and variance of each channel of x [rows, channels]");
  m.def("finish", &finish_flat<T>, "x"_a.noconvert(), "residual"_a.none().noconvert(), "y"_a.noconvert(), "channels"_a,
        "mean"_a.none(), "gain"_a.none(), "shift"_a.none(), "slope"_a.none(), "after"_a.none(), "low"_a, "high"_a, "rounding"_a,
        "scale"_a, "zero_point"_a, "hi"_a, "threads"_a, "What follows the products of a layer; csrc/training/finish.h has it");
  m.def("finish_gradient", &finish_gradient_flat<T>, "x"_a.noconvert(), "residual"_a.none().noconvert(), "dz"_a.noconvert(),
        "channels"_a, "mean"_a.none(), "gain"_a.none(), "shift"_a.none(), "slope"_a.none(), "after"_a.none(), "low"_a, "high"_a,
        "rounding"_a, "scale"_a, "zero_point"_a, "hi"_a, "threads"_a, "gradient"_a.noconvert(), "of_z"_a.none(),
        "of_zx"_a.none(), "of_slope"_a.none(), "of_after"_a.none(), "Writes dL/dz and the channels' sums, returns dL/dscale");
  m.def("channel_affine", &channel_affine_flat<T>, "dz"_a.noconvert(), "x"_a.noconvert(), "dx"_a.noconvert(),
        "mean"_a.noconvert(), "a"_a.noconvert(), "b"_a.noconvert(), "c"_a.noconvert(), "threads"_a,
        "dx = dz * a + (x - mean) * b + c of each channel");
}

}  // namespace

void add_training(nb::module_& m) {
  m.def("count_bins", &count, nb::arg("values"), nb::arg("scale"), nb::arg("counts"),
        "Add to counts [2 * side] how many of the values lie in each bin, floor(value * scale) + side");
  add<float>(m);
  add<uint16_t>(m);
}

}  // namespace bitwright
