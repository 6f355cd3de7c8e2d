// The C functions of bitwright.h: each turns exceptions into texts.
#include "bitwright.h"

#include <cstdio>
#include <cstring>
#include <limits>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include "artifact/artifact.h"
#include "runtime/plan.h"

using namespace bitwright;

struct bitwright_model {
  Pixels pixels;
  int outputs;
  std::vector<std::string> classes;
  std::unique_ptr<Plan> plan;
};

namespace {

constexpr int kMostThreads = 1024;

void tell(char* error, size_t bytes, const char* what) {
  if (error && bytes) std::snprintf(error, bytes, "%s", what);
}

// What f returns, or `failed` with the error told.
template <class F>
auto guarded(char* error, size_t bytes, decltype(std::declval<F>()()) failed, const F& f) {
  tell(error, bytes, "");
  try {
    return f();
  } catch (const std::bad_alloc&) {
    tell(error, bytes, "out of memory");
  } catch (const std::exception& e) {
    tell(error, bytes, e.what());
  } catch (...) {
    tell(error, bytes, "unknown error");
  }
  return failed;
}

bitwright_model* opened(std::span<const uint8_t> file, int threads) {
  if (threads < 0 || threads > kMostThreads) throw std::invalid_argument("expected 0 to 1024 threads");
  Artifact read = read_artifact(file);
  auto plan = std::make_unique<Plan>(std::move(read.graph), allowed_features(""), threads, false);
  return new bitwright_model{std::move(read.pixels), read.outputs, std::move(read.classes), std::move(plan)};
}

struct Close {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

std::vector<uint8_t> contents(const char* path) {
  if (!path) throw std::invalid_argument("expected the path of an artifact");
  std::unique_ptr<std::FILE, Close> file(std::fopen(path, "rb"));
  std::vector<uint8_t> found;
  for (size_t count = file ? 1 : 0; count;) {
    constexpr size_t kMore = size_t{1} << 20;
    size_t before = found.size();
    found.resize(before + kMore);
    count = std::fread(&found[before], 1, kMore, file.get());
    found.resize(before + count);
  }
  if (!file || std::ferror(file.get())) throw std::invalid_argument("cannot read " + std::string(path));
  return found;
}

void run(const bitwright_model& model, const uint8_t* pixels, size_t count, float* logits) {
  const Plan& plan = *model.plan;
  auto each = static_cast<size_t>(plan.output_bytes()), wanted = static_cast<size_t>(model.outputs) * sizeof(float);
  if (!count) return;
  if (!pixels || !logits) throw std::invalid_argument("expected pixels and a place for logits");
  if (count > std::numeric_limits<int32_t>::max()) throw std::invalid_argument("expected fewer images");
  if (each == wanted) return plan.run(pixels, static_cast<int64_t>(count), reinterpret_cast<uint8_t*>(logits));
  std::vector<uint8_t> all(count * each);  // the graph has other outputs behind the logits
  plan.run(pixels, static_cast<int64_t>(count), all.data());
  for (size_t i = 0; i < count; ++i) std::memcpy(logits + i * static_cast<size_t>(model.outputs), &all[i * each], wanted);
}

}  // namespace

extern "C" {

const char* bitwright_version(void) { return BITWRIGHT_VERSION; }

bitwright_model* bitwright_open(const char* path, int threads, char* error, size_t error_bytes) {
  return guarded(error, error_bytes, nullptr, [&]() -> bitwright_model* { return opened(contents(path), threads); });
}

bitwright_model* bitwright_open_memory(const void* artifact, size_t bytes, int threads, char* error, size_t error_bytes) {
  return guarded(error, error_bytes, nullptr, [&]() -> bitwright_model* {
    return opened({static_cast<const uint8_t*>(artifact), artifact ? bytes : 0}, threads);
  });
}

void bitwright_close(bitwright_model* model) { delete model; }

void bitwright_image(const bitwright_model* model, int* height, int* width, int* channels) {
  if (height) *height = model->pixels.height;
  if (width) *width = model->pixels.width;
  if (channels) *channels = model->pixels.channels;
}

const char* bitwright_mode(const bitwright_model* model) { return model->pixels.mode.c_str(); }

int bitwright_logits(const bitwright_model* model) { return model->outputs; }

int bitwright_classes(const bitwright_model* model) { return static_cast<int>(model->classes.size()); }

const char* bitwright_class_name(const bitwright_model* model, int number) {
  return number >= 0 && number < bitwright_classes(model) ? model->classes[static_cast<size_t>(number)].c_str() : nullptr;
}

int bitwright_run(const bitwright_model* model, const uint8_t* pixels, size_t count, float* logits, char* error,
                  size_t error_bytes) {
  return guarded(error, error_bytes, -1, [&] { return run(*model, pixels, count, logits), 0; });
}

}  // extern "C"
