// The Python module bitwright._native: Plan, and what the processor has.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/map.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <stdexcept>

#include "kernels/features.h"
#include "kernels/peak/peak.h"
#include "kernels/rows.h"
#include "ops/check.h"
#include "pictures/resize.h"
#include "planning/lower.h"
#include "runtime/plan.h"
#include "training/bindings.h"
#include "without_gil.h"

namespace nb = nanobind;
using namespace bitwright;
using namespace nb::literals;

namespace {

using Array = nb::ndarray<nb::ro, nb::c_contig, nb::device::cpu>;
using Images = nb::ndarray<const uint8_t, nb::ndim<4>, nb::c_contig, nb::device::cpu>;

Type type_of(const Array& array) {
  if (array.dtype() == nb::dtype<int8_t>()) return Type::int8;
  if (array.dtype() == nb::dtype<uint8_t>()) return Type::uint8;
  if (array.dtype() == nb::dtype<float>()) return Type::float32;
  throw std::invalid_argument("expected a tensor of int8, uint8 or float32");
}

Tensor tensor_of(const Array& array) {
  Tensor tensor;
  for (size_t d = 0; d < array.ndim(); ++d) tensor.shape.push_back(static_cast<int64_t>(array.shape(d)));
  tensor.type = type_of(array);
  tensor.bytes = {static_cast<const uint8_t*>(array.data()), array.nbytes()};
  return tensor;
}

// (shape, channel axis, max_code or None, step, zero points)
Value value_of(nb::tuple t) {
  Value value;
  value.shape = nb::cast<std::vector<int>>(t[0]);
  value.channel = nb::cast<int>(t[1]);
  value.is_float = t[2].is_none();
  if (value.is_float) return value;
  value.max_code = nb::cast<int>(t[2]), value.step = nb::cast<int>(t[3]);
  value.zero_points = nb::cast<std::vector<int>>(t[4]);
  return value;
}

// (name, op, inputs, output, attrs, tensors); `arrays` keeps what the tensors point to.
Node node_of(nb::tuple t, std::vector<Array>& arrays) {
  Node node;
  node.name = nb::cast<std::string>(t[0]), node.op = nb::cast<std::string>(t[1]);
  node.inputs = nb::cast<std::vector<int>>(t[2]), node.output = nb::cast<int>(t[3]);
  node.attrs = nb::cast<std::map<std::string, std::vector<int>>>(t[4]);
  for (auto [key, array] : nb::cast<nb::dict>(t[5])) {
    arrays.push_back(nb::cast<Array>(array));
    node.tensors[nb::cast<std::string>(key)] = tensor_of(arrays.back());
  }
  return node;
}

Graph graph_of(nb::list values, nb::list nodes, const std::vector<int>& inputs, const std::vector<int>& outputs,
               std::vector<Array>& arrays) {
  Graph graph;
  for (nb::handle v : values) graph.values.push_back(value_of(nb::cast<nb::tuple>(v)));
  for (nb::handle n : nodes) graph.nodes.push_back(node_of(nb::cast<nb::tuple>(n), arrays));
  graph.inputs = inputs, graph.outputs = outputs;
  return graph;
}

// (name, planes, table or None)
std::optional<Encoder> encoder_of(nb::object given) {
  if (given.is_none()) return {};
  auto t = nb::cast<nb::tuple>(given);
  Encoder encoder{nb::cast<std::string>(t[0]), nb::cast<int>(t[1]), {}};
  if (!t[2].is_none()) {
    Tensor table = tensor_of(nb::cast<Array>(t[2]));
    encoder.table.assign(table.bytes.begin(), table.bytes.end());
  }
  return encoder;
}

Plan* make_plan(nb::list values, nb::list nodes, const std::vector<int>& inputs, const std::vector<int>& outputs, int threads,
                bool keep_values, const std::string& isa, nb::object encoder, int check_weights) {
  std::vector<Array> arrays;
  Graph graph = graph_of(values, nodes, inputs, outputs, arrays);
  graph.encoder = encoder_of(encoder);
  return without_gil([&] { return new Plan(std::move(graph), allowed_features(isa), threads, keep_values, check_weights); });
}

// Where packed weights lie: name of the step, address, bytes.
nb::list packed_memory(const Plan& plan) {
  nb::list list;
  for (const auto& step : plan.steps())
    for (std::span<const uint8_t> bytes : step->packed())
      if (!bytes.empty()) list.append(nb::make_tuple(step->name, reinterpret_cast<uintptr_t>(bytes.data()), bytes.size()));
  return list;
}

// The kernels that a machine with these features would run, one tuple a step: name, op, kernel, instruction set.
nb::list chosen_kernels(nb::list values, nb::list nodes, const std::vector<int>& inputs, const std::vector<int>& outputs,
                        const std::vector<std::string>& features) {
  std::vector<Array> arrays;
  Graph graph = graph_of(values, nodes, inputs, outputs, arrays);
  check(graph);
  ThreadPool pool(1);
  Lowered lowered = lower(graph, features_named(features), false, pool);
  nb::list list;
  for (const auto& step : lowered.steps) list.append(nb::make_tuple(step->name, step->op, step->kernel, step->isa));
  return list;
}

// Every kernel there is: family, name, instruction set, features it needs.
nb::list kernels() {
  nb::list list;
  for (const KernelInfo& kernel : all_kernels())
    list.append(nb::make_tuple(kernel.family, kernel.name, kernel.isa, feature_names(kernel.needs)));
  return list;
}

void expect_images(const Plan& plan, const Images& images) {
  const auto& shape = plan.image().shape;
  if (shape.size() != 3 || static_cast<int>(images.shape(1)) != shape[1] || static_cast<int>(images.shape(2)) != shape[2] ||
      static_cast<int>(images.shape(3)) != plan.graph().pixel_channels())
    throw std::invalid_argument("the images do not have the shape of the graph's input");
}

// An array [leading..., shape...] that owns `bytes`.
nb::object array_of(const Value& value, std::vector<size_t> shape, std::unique_ptr<uint8_t[]> bytes) {
  for (int d : value.shape) shape.push_back(static_cast<size_t>(d));
  uint8_t* data = bytes.get();
  nb::capsule owner(bytes.release(), [](void* p) noexcept { delete[] static_cast<uint8_t*>(p); });
  if (value.is_float) return nb::cast(nb::ndarray<nb::numpy, float>(data, shape.size(), shape.data(), owner));
  return nb::cast(nb::ndarray<nb::numpy, uint8_t>(data, shape.size(), shape.data(), owner));
}

nb::object run(const Plan& plan, const Images& images) {
  expect_images(plan, images);
  size_t count = images.shape(0);
  auto bytes = std::make_unique_for_overwrite<uint8_t[]>(count * plan.output_bytes());
  without_gil([&] { plan.run(images.data(), static_cast<int64_t>(count), bytes.get()); });
  const Graph& graph = plan.graph();
  if (graph.outputs.size() == 1) return array_of(graph.values[graph.outputs[0]], {count}, std::move(bytes));
  Value all;  // the bytes of one image's outputs, one after the other
  all.shape = {static_cast<int>(plan.output_bytes())};
  return array_of(all, {count}, std::move(bytes));
}

nb::list values(const Plan& plan, const Images& images) {
  expect_images(plan, images);
  if (images.shape(0) != 1) throw std::invalid_argument("expected one image");
  std::vector<std::vector<uint8_t>> all = without_gil([&] { return plan.values(images.data()); });
  nb::list list;
  for (size_t i = 0; i < all.size(); ++i) {
    auto bytes = std::make_unique_for_overwrite<uint8_t[]>(all[i].size());
    std::copy(all[i].begin(), all[i].end(), bytes.get());
    list.append(array_of(plan.graph().values[i], {}, std::move(bytes)));
  }
  return list;
}

// One tuple a step: name, op, kernel, instruction set, MACs, bytes, seconds.
nb::list time_steps(const Plan& plan, const Images& images) {
  expect_images(plan, images);
  if (images.shape(0) != 1) throw std::invalid_argument("expected one image");
  std::vector<StepTime> times = without_gil([&] { return plan.time_steps(images.data()); });
  nb::list list;
  for (const StepTime& t : times)
    list.append(nb::make_tuple(t.step->name, t.step->op, t.step->kernel, t.step->isa, t.step->macs, t.step->bytes, t.seconds));
  return list;
}

Filter filter_named(const std::string& name) {
  constexpr const char* names[] = {"box", "bilinear", "hamming", "bicubic", "lanczos"};  // in the order of Filter
  auto found = std::find(std::begin(names), std::end(names), name);
  if (found == std::end(names)) throw std::invalid_argument("unknown filter");
  return static_cast<Filter>(found - std::begin(names));
}

using Picture = nb::ndarray<const uint8_t, nb::shape<-1, -1, 3>, nb::c_contig, nb::device::cpu>;

nb::object resize(const Picture& pixels, int new_height, int new_width, const std::string& filter, const Area& area) {
  Value value;
  value.shape = {area.height, area.width, 3};
  if (pixels.size() == 0 || pixels.size() > size_t{1} << 30 || std::max(new_height, new_width) > 1 << 16 ||
      std::min({area.top, area.left, area.height - 1, area.width - 1}) < 0 || area.height > new_height - area.top ||
      area.width > new_width - area.left)
    throw std::invalid_argument("expected a picture and an area inside of what it becomes");
  Filter chosen = filter_named(filter);
  auto bytes = std::make_unique_for_overwrite<uint8_t[]>(static_cast<size_t>(value.count()));
  without_gil([&] {
    resize_rgb(pixels.data(), static_cast<int>(pixels.shape(0)), static_cast<int>(pixels.shape(1)), new_height, new_width,
               chosen, area, bytes.get());
  });
  return array_of(value, {}, std::move(bytes));
}

}  // namespace

NB_MODULE(_native, m) {
  nb::set_leak_warnings(false);  // a daemon thread inside a call keeps its plan to the end
  nb::module_::import_("atexit").attr("register")(nb::cpp_function(close_interpreter));
  m.def("isas", &isa_names, "The named sets of features, smallest first");
  m.def("detected_isa", [] { return isa_within(detected_features()); }, "The largest named set that this machine has");
  m.def("detected_features", [] { return feature_names(detected_features()); });
  m.def(
      "chosen_isa", [](const std::string& isa) { return isa_within(allowed_features(isa)); }, nb::arg("isa") = "",
      "`isa`, or what BITWRIGHT_ISA says, or the largest set that this machine has");
  m.def("kernels", &kernels);
  m.def("chosen_kernels", &chosen_kernels, nb::arg("values"), nb::arg("nodes"), nb::arg("inputs"), nb::arg("outputs"),
        nb::arg("features"));
  m.def("available_threads", &available_threads);
  m.def(
      "measured_peak",
      [](const std::string& isa) {
        Features features = allowed_features(isa);
        return without_gil([=] { return measured_peak(features); });
      },
      nb::arg("isa") = "", "int8 multiply-adds a second of one thread");
  m.def("measured_clock", [] { return without_gil(measured_clock); }, "Cycles a second of one thread.");
  m.def(
      "measured_bit_peak",
      [](const std::string& isa) {
        Features features = allowed_features(isa);
        return without_gil([=] { return measured_bit_peak(features); });
      },
      nb::arg("isa") = "", "1-bit multiply-adds a second of one thread by XOR, VPOPCNTD and VPADDD; 0 without them");
  add_training(m);
  m.def("can_resize", [] { return can_resize(allowed_features("")); });
  m.def(
      "resize",
      [](const Picture& pixels, int new_height, int new_width, const std::string& filter, int top, int left, int height,
         int width) { return resize(pixels, new_height, new_width, filter, {top, left, height, width}); },
      "pixels"_a.noconvert(), "new_height"_a, "new_width"_a, "filter"_a, "top"_a, "left"_a, "height"_a, "width"_a,
      "Pillow's resize of RGB pixels [h, w, 3], and the area of it that begins at (top, left)");
  nb::class_<Plan>(m, "Plan")
      .def(nb::new_(&make_plan), nb::arg("values"), nb::arg("nodes"), nb::arg("inputs"), nb::arg("outputs"),
           nb::arg("threads") = 0, nb::arg("keep_values") = false, nb::arg("isa") = "", nb::arg("encoder") = nb::none(),
           nb::arg("check_weights") = 0)
      .def("run", &run, nb::arg("images"))
      .def("values", &values, nb::arg("image"))
      .def("time_steps", &time_steps, nb::arg("image"))
      .def_prop_ro("threads", &Plan::threads)
      .def_prop_ro("packed_memory", &packed_memory,
                   "Name, address and bytes of what each step has packed: to damage it in tests.")
      .def_prop_ro("arena_bytes", &Plan::arena_bytes)
      .def_prop_ro("contexts", &Plan::contexts,
                   "For how many images in flight there is memory; it does not grow without bound.")
      .def_prop_ro("isa", [](const Plan& plan) { return isa_within(plan.features()); });
}
