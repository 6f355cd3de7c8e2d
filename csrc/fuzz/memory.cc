// Memory that runs out at each allocation of loading a file, making a plan and running it, one after the other:
// `memory FIRST COUNT`.
//
// And a plan that has run once allocates nothing in its next run.
//
// The k-th allocation fails, for k = 1, 2, ... until there is no k-th. Each time std::bad_alloc reaches the caller or the
// result is right; and the plan, where it could be made, still gives the right one when there is memory again. Of a file that
// is damaged, what is said against it is said, or there was no memory to say it. That nothing is lost, LeakSanitizer sees.
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "artifact/artifact.h"
#include "fuzz/files.h"
#include "fuzz/graphs.h"
#include "ops/check.h"
#include "runtime/plan.h"

namespace {

std::atomic<long> until_failure{-1};  // allocations that succeed before one fails; negative: all do
std::atomic<long> allocations{0};

void* allocate(size_t size, size_t alignment) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  if (until_failure.load(std::memory_order_relaxed) >= 0 && until_failure.fetch_sub(1) == 0) return nullptr;
  size = (size + alignment - 1) / alignment * alignment;
  return std::aligned_alloc(alignment, size ? size : alignment);
}

void* or_throw(void* p) {
  if (!p) throw std::bad_alloc();
  return p;
}

}  // namespace

void* operator new(size_t size) { return or_throw(allocate(size, 16)); }
void* operator new[](size_t size) { return or_throw(allocate(size, 16)); }
void* operator new(size_t size, std::align_val_t a) { return or_throw(allocate(size, static_cast<size_t>(a))); }
void* operator new[](size_t size, std::align_val_t a) { return or_throw(allocate(size, static_cast<size_t>(a))); }
void* operator new(size_t size, const std::nothrow_t&) noexcept { return allocate(size, 16); }
void* operator new[](size_t size, const std::nothrow_t&) noexcept { return allocate(size, 16); }
void operator delete(void* p) noexcept { std::free(p); }
void operator delete[](void* p) noexcept { std::free(p); }
void operator delete(void* p, size_t) noexcept { std::free(p); }
void operator delete[](void* p, size_t) noexcept { std::free(p); }
void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete[](void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete(void* p, size_t, std::align_val_t) noexcept { std::free(p); }
void operator delete[](void* p, size_t, std::align_val_t) noexcept { std::free(p); }

namespace bitwright::fuzz {
namespace {

struct Counts {
  // Allocations that failed; of these, while a file was loaded, while a plan was made, and while it ran.
  long failures = 0, loads = 0, plans = 0, runs = 0;
};

// False once no allocation of those that `f` makes was the k-th.
template <class F>
bool fails_at(long k, const F& f, bool& threw) {
  until_failure = k;
  threw = false;
  try {
    f();
  } catch (const std::bad_alloc&) {
    threw = true;
  }
  bool reached = until_failure.exchange(-1) < 0;
  return reached;
}

void expect(bool holds, const char* what, uint64_t seed, long k) {
  if (holds) return;
  std::fprintf(stderr, "graph %llu, allocation %ld: %s\n", static_cast<unsigned long long>(seed), k, what);
  std::abort();
}

// What a file is: the result for a grey picture, or what is said against it.
std::string loaded(const std::vector<uint8_t>& file, std::unique_ptr<Plan>& plan) {
  try {
    Artifact read = read_artifact(file);
    std::string about = read.pixels.mode;
    for (const std::string& name : read.classes) about += name;
    plan = std::make_unique<Plan>(std::move(read.graph), detected_features(), 1, false);
    return about;
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
}

void one_file(uint64_t seed, Choices& choices, Counts& counts) {
  File made = make_file(choices);
  std::vector<uint8_t> file = bytes_of(made);
  if (seed % 3 == 0) file[file.size() / 2] ^= 1;
  std::unique_ptr<Plan> plan;
  const std::string expected = loaded(file, plan);
  for (long k = 0;; ++k) {
    std::unique_ptr<Plan> tried;
    std::string found;
    bool threw, reached = fails_at(k, [&] { found = loaded(file, tried); }, threw);
    expect(threw || (found == expected && !tried == !plan), "neither the model, nor what is wrong with it, nor an error", seed,
           k);
    if (!reached) break;
    ++counts.failures, ++counts.loads;
  }
}

void one_graph(uint64_t seed, int threads, Choices& choices, Counts& counts) {
  Made made = make_graph(choices);
  const Features features = detected_features();
  const int images = 3;
  std::unique_ptr<Plan> plan = std::make_unique<Plan>(made.graph, features, threads, false, 1);
  std::vector<uint8_t> pixels(static_cast<size_t>(images * plan->image_bytes()), 200),
      expected(static_cast<size_t>(images * plan->output_bytes()));
  auto found = expected;
  plan->run(pixels.data(), images, expected.data());
  long before = allocations;
  plan->run(pixels.data(), images, found.data());
  expect(allocations == before, "a second run allocates", seed, 0);
  expect(found == expected, "another result of the second run", seed, 0);
  bool threw;
  for (long k = 0;; ++k) {
    std::unique_ptr<Plan> tried;
    bool reached = fails_at(k, [&] { tried = std::make_unique<Plan>(made.graph, features, threads, false, 1); }, threw);
    expect(threw || tried, "neither a plan nor an error", seed, k);
    if (tried) tried->run(pixels.data(), images, found.data()), expect(found == expected, "another result", seed, k);
    if (!reached) break;
    ++counts.failures, ++counts.plans;
  }
  for (long k = 0;; ++k) {
    plan = std::make_unique<Plan>(made.graph, features, threads, false, 1);
    std::fill(found.begin(), found.end(), uint8_t{0});
    bool reached = fails_at(k, [&] { plan->run(pixels.data(), images, found.data()); }, threw);
    expect(threw || found == expected, "another result", seed, k);
    plan->run(pixels.data(), images, found.data());
    expect(found == expected, "another result after memory had run out", seed, k);
    if (!reached) break;
    ++counts.failures, ++counts.runs;
  }
}

}  // namespace
}  // namespace bitwright::fuzz

int main(int argc, char** argv) {
  if (argc != 3) return std::fprintf(stderr, "usage: %s FIRST COUNT\n", argv[0]), 2;
  uint64_t first = std::strtoull(argv[1], nullptr, 10), count = std::strtoull(argv[2], nullptr, 10);
  bitwright::fuzz::Counts counts;
  for (uint64_t seed = first; seed < first + count; ++seed) {
    bitwright::fuzz::Noise noise(seed);
    std::vector<uint8_t> input(256);
    for (uint8_t& byte : input) byte = noise.byte();
    bitwright::fuzz::Choices of_graph(input.data(), input.size()), of_file(input.data(), input.size());
    bitwright::fuzz::one_graph(seed, seed % 4 ? 1 : 2, of_graph, counts);
    bitwright::fuzz::one_file(seed, of_file, counts);
  }
  std::printf("graphs %llu failures %ld loading %ld planning %ld running %ld\n", static_cast<unsigned long long>(count),
              counts.failures, counts.loads, counts.plans, counts.runs);
}
