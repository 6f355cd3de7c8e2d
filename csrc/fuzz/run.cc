// Planner and kernels: a graph that the check accepts is planned and run, and every instruction set of this machine, with and
// without fusion, on one thread and on two, gives the same bytes. So does a plan that checks its weights after every run.
#include <cstdio>
#include <cstdlib>
#include <stdexcept>

#include "fuzz/graphs.h"
#include "fuzz/target.h"
#include "ops/check.h"
#include "runtime/plan.h"

namespace bitwright::fuzz {
namespace {

using Bytes = std::vector<uint8_t>;

Bytes run(const Graph& graph, Features features, int threads, bool keep_values, const Bytes& images, int count) {
  Plan plan(graph, features, threads, keep_values, keep_values ? 0 : 1);
  Bytes outputs(static_cast<size_t>(count * plan.output_bytes()));
  plan.run(images.data(), count, outputs.data());
  return outputs;
}

const std::vector<std::string>& isas() {
  static const std::vector<std::string> found = [] {
    std::vector<std::string> names;
    for (const std::string& name : isa_names()) try {
        allowed_features(name), names.push_back(name);
      } catch (const std::runtime_error&) {  // this machine lacks it
      }
    return names;
  }();
  return found;
}

}  // namespace

Outcomes one_input(const uint8_t* data, size_t size) {
  Choices choices(data, size);
  bool wrong = choices.one_in(2), two = choices.one_in(8);
  int count = choices.within(1, 3);
  const Made sound = make_graph(choices), made = wrong ? damage(sound, choices) : sound;
  try {
    check(made.graph);
  } catch (const std::invalid_argument&) {
    return {.refused = 1};
  }
  if (!is_small(made.graph)) return {.large = 1};
  const Value& image = made.graph.values[made.graph.image()];
  Bytes images(static_cast<size_t>(count * (image.count() / image.channels() * made.graph.pixel_channels())));
  Noise noise(static_cast<uint64_t>(choices.below(1 << 16)));
  for (uint8_t& byte : images)
    byte = static_cast<uint8_t>(noise.byte() % (image.max_code < 255 && !made.graph.encoder ? image.max_code + 1 : 256));
  Bytes expected = run(made.graph, 0, 1, true, images, count);
  for (const std::string& isa : isas())
    if (run(made.graph, allowed_features(isa), two ? 2 : 1, false, images, count) != expected) {
      std::fprintf(stderr, "%s, %d threads: other bytes than scalar, unfused\n", isa.c_str(), two ? 2 : 1);
      for (const Node& node : made.graph.nodes) std::fprintf(stderr, "  %s\n", node.op.c_str());
      std::abort();
    }
  return {.accepted = 1};
}

}  // namespace bitwright::fuzz
