// The same algorithm for all targets; sums are of integers, so their order does not matter. For each query of a head:
//
//   s[j] = sum over d of (q[d] - zp) * k[j][d]      and something that all j share
//   s[j] = s[j] + bias[j]                           where there is one
//   e[j] = exp[min(rint(f32(max s - s[j]) * m_s), 255)]
//   t[d] = f32(sum over j of e[j] * (v[j][d] - third_zp)) * (m / f32(sum of e))
//
// Vectors multiply groups of neighbouring numbers (kGroup, panels.h) of one query by those of as many keys as there are lanes,
// then groups of weights by those of as many channels. Keys and values of a head are packed once for all queries that a thread
// takes in a row.
#include "kernels/attention/attention.h"

#include "kernels/every_target.h"
#ifdef BITWRIGHT_VECTORS
#include "kernels/attention/panels.h"
#endif

namespace bitwright {
namespace {

constexpr int kUnitQueries = 32;

int tokens(const Map& map) { return map.h * map.w; }
int blocks(const AttentionParams& p) { return (tokens(p.in) + kUnitQueries - 1) / kUnitQueries; }
int units(const AttentionParams& p) { return p.heads * blocks(p); }

// What is added to the scores of a query; null where nothing is.
const int32_t* bias(const AttentionParams& p, int head, int query) {
  if (!p.bias) return nullptr;
  return p.bias + (static_cast<ptrdiff_t>(head % p.biases) * tokens(p.in) + query) * tokens(p.second);
}

#ifdef BITWRIGHT_VECTORS

constexpr int kQueries = Vec::kLanes == 16 ? 4 : 2;  // that share what is loaded of keys and values

// What begins at a multiple of 64 bytes of a thread's scratch memory, or, where that is null, would.
class Room {
 public:
  explicit Room(uint8_t* memory) : memory_(memory) {}
  template <class T>
  T* take(size_t count) {
    T* at = memory_ ? reinterpret_cast<T*>(memory_ + used_) : nullptr;
    used_ += (count * sizeof(T) + 63) / 64 * 64;
    return at;
  }
  size_t used() const { return used_; }

 private:
  uint8_t* memory_;
  size_t used_ = 0;
};

// A head of keys and values, and what is computed of kQueries queries.
class Heads {
 public:
  Heads(const AttentionParams& p, const Buffers& at)
      : p_(p),
        at_(at),
        room_(at.scratch),
        table_(p.epilogue.table, static_cast<int>(p.epilogue.hi)),
        exp_(p.exp),
        keys_(tokens(p.second), p.in.c / p.heads),
        values_(p.third.c / p.heads, tokens(p.third)),
        row_(round_up(tokens(p.second), Vec::kBytes)),
        width_(round_up(values_.columns, Vec::kBytes)) {
    keys_.at = room_.take<int32_t>(keys_.size());
    values_.at = room_.take<int32_t>(values_.size());
    starts_ = room_.take<int32_t>(row_);
    scores_ = room_.take<int32_t>(kQueries * static_cast<size_t>(row_));
    weights_ = room_.take<Number>(kQueries * static_cast<size_t>(row_));
    bytes_ = room_.take<uint8_t>(row_);
    queries_ = room_.take<int32_t>(kQueries * static_cast<size_t>(keys_.groups));
    sums_ = room_.take<int32_t>(kQueries * static_cast<size_t>(width_));
  }

  size_t scratch_bytes() const { return room_.used(); }

  void pack(int head) {
    head_ = head;
    keys_.pack_columns([&](int j) { return at_.second + offset(p_.second, j) + head * keys_.depth; });
    values_.pack_rows([&](int j) { return at_.third + offset(p_.third, j) + head * values_.columns; });
    for (int j = 0; j < row_; ++j) starts_[j] = kNone;
    for (int j = 0; j < keys_.columns; ++j) starts_[j] = start(at_.second + offset(p_.second, j) + head * keys_.depth);
    for (int r = 0; r < kQueries; ++r)  // vectors of bytes reach beyond those of scores
      for (int j = keys_.lanes(); j < row_; ++j) scores_[r * row_ + j] = kNone;
  }

  // Queries `first` to `last` of the head that was packed.
  void run(int first, int last) {
    for (int query = first; query < last; query += kQueries) {
      int token[kQueries];
      for (int r = 0; r < kQueries; ++r) {
        token[r] = query + r < last ? query + r : last - 1;  // the last is computed again
        const uint8_t* codes = at_.in + offset(p_.in, token[r]) + head_ * keys_.depth;
        for (int g = 0; g < keys_.groups; ++g)
          queries_[r * keys_.groups + g] = group_of(codes + g * kGroup, keys_.depth - g * kGroup, 0);
      }
      multiply_all<kQueries>(keys_, queries_, keys_.groups, starts_, scores_, row_);
      int32_t total[kQueries];
      for (int r = 0; r < kQueries; ++r) total[r] = weigh(r, bias(p_, head_, token[r]));
      multiply_all<kQueries>(values_, reinterpret_cast<const int32_t*>(weights_), row_ / kGroup, nullptr, sums_, width_);
      for (int r = 0; r < kQueries; ++r) store(r, total[r], at_.out + offset(p_.out, token[r]) + head_ * values_.columns);
    }
  }

 private:
  static constexpr int32_t kNone = INT32_MIN;  // the score of a key that is not there

  int32_t start(const uint8_t* key) const {
    int32_t sum = 0;
    for (int d = 0; d < keys_.depth; ++d) sum += key[d] - kBase;
    return -p_.zp * sum;
  }

  // The weights of a query's scores, and their sum.
  int32_t weigh(int r, const int32_t* bias) {
    int32_t* scores = scores_ + r * row_;
    if (bias)
      for (int j = 0; j < keys_.columns; ++j) scores[j] += bias[j];
    Vec::Ints most = Vec::load_ints(scores);
    for (int j = Vec::kLanes; j < row_; j += Vec::kLanes) most = Vec::max_ints(most, Vec::load_ints(scores + j));
    most = Vec::splat_int(Vec::largest_int(most));
    const Vec::Floats m_s = Vec::splat_float(p_.m_s), last = Vec::splat_float(255);
    uint8_t* bytes = kGroup == 4 ? reinterpret_cast<uint8_t*>(weights_ + r * row_) : bytes_;
    for (int j = 0; j < row_; j += Vec::kBytes) {
      Vec::Ints index[4];
      unrolled<4>([&](auto v) BITWRIGHT_INLINE {
        Vec::Ints below = Vec::subtract(most, Vec::load_ints(scores + j + v * Vec::kLanes));
        index[v] = Vec::rounded(Vec::min_floats(Vec::floats(below) * m_s, last));
      });
      Vec::store(exp_.look_up(Vec::bytes_of(index)), bytes + j, Vec::kBytes);
    }
    for (int j = keys_.columns; j < row_; ++j) bytes[j] = 0;
    Vec::Ints sum = Vec::zero();
    for (int j = 0; j < row_; j += Vec::kBytes) sum = Vec::add_bytes(sum, Vec::load(bytes + j));
    if constexpr (kGroup != 4)
      for (int j = 0; j < row_; ++j) weights_[r * row_ + j] = bytes[j];
    return static_cast<int32_t>(Vec::sum_longs(sum));
  }

  // The codes of a query's sums, `total` being that of its weights.
  void store(int r, int32_t total, uint8_t* out) const {
    const Epilogue& e = p_.epilogue;
    const Vec::Ints base = Vec::splat_int((kBase - p_.third_zp) * total);
    const Vec::Floats each = Vec::splat_float(p_.m / static_cast<float>(total)), zp = Vec::splat_float(p_.out_zp);
    const Vec::Floats bound = Vec::splat_float(e.hi);
    for (int c = 0; c < values_.columns; c += Vec::kBytes) {
      Vec::Ints codes[4];
      unrolled<4>([&](auto v) BITWRIGHT_INLINE {
        Vec::Ints sum = Vec::add(Vec::load_ints(sums_ + r * width_ + c + v * Vec::kLanes), base);
        codes[v] = Vec::rounded(Vec::min_floats(Vec::floats(sum) * each + zp, bound));
      });
      Vec::Bytes bytes = Vec::min(Vec::max(Vec::bytes_of(codes), Vec::splat(e.lo)), Vec::splat(e.hi));
      if (e.table) bytes = table_.look_up(bytes);
      Vec::store(bytes, out + c, values_.columns - c < Vec::kBytes ? values_.columns - c : Vec::kBytes);
    }
  }

  const AttentionParams& p_;
  const Buffers& at_;
  Room room_;
  Vec::Table table_, exp_;
  Panels keys_, values_;
  int row_, width_;  // of scores and of sums: up to whole vectors of bytes
  int head_ = 0;
  int32_t *starts_, *scores_, *queries_, *sums_;  // starts_: of the sum over d, for each key
  Number* weights_;
  uint8_t* bytes_;
};

size_t scratch_bytes(const AttentionParams& p) { return Heads(p, {}).scratch_bytes(); }

void run(const AttentionParams& p, const Buffers& at, int begin, int end) {
  Heads heads(p, at);
  for (int unit = begin; unit < end; ++unit) {
    int block = unit % blocks(p), first = block * kUnitQueries;
    if (unit == begin || block == 0) heads.pack(unit / blocks(p));
    heads.run(first, first + kUnitQueries < tokens(p.in) ? first + kUnitQueries : tokens(p.in));
  }
}

#else

size_t scratch_bytes(const AttentionParams& p) { return 5 * static_cast<size_t>(tokens(p.second)); }

// In scratch memory, of each key: its score, and its weight.
void attend(const AttentionParams& p, const Buffers& at, int head, int query) {
  const int keys = tokens(p.second), depth = p.in.c / p.heads, width = p.third.c / p.heads;
  auto* scores = reinterpret_cast<int32_t*>(at.scratch);
  uint8_t* weights = at.scratch + 4 * static_cast<size_t>(keys);
  const uint8_t* q = at.in + offset(p.in, query) + head * depth;
  const int32_t* added = bias(p, head, query);
  int32_t most = INT32_MIN, total = 0;
  for (int j = 0; j < keys; ++j) {
    const uint8_t* k = at.second + offset(p.second, j) + head * depth;
    scores[j] = 0;
    for (int d = 0; d < depth; ++d) scores[j] += (q[d] - p.zp) * k[d];
    if (added) scores[j] += added[j];
    if (scores[j] > most) most = scores[j];
  }
  for (int j = 0; j < keys; ++j) {
    float index = __builtin_rintf(static_cast<float>(most - scores[j]) * p.m_s);
    weights[j] = p.exp[index < 255 ? static_cast<int>(index) : 255];
    total += weights[j];
  }
  const float each = p.m / static_cast<float>(total);
  uint8_t* out = at.out + offset(p.out, query) + head * width;
  for (int d = 0; d < width; ++d) {
    const uint8_t* v = at.third + head * width + d;
    int32_t sum = 0;
    for (int j = 0; j < keys; ++j) sum += weights[j] * (v[offset(p.third, j)] - p.third_zp);
    float t = static_cast<float>(sum) * each;
    t = t + p.out_zp;
    finish_float(p.epilogue, d, t, nullptr, out);
  }
}

void run(const AttentionParams& p, const Buffers& at, int begin, int end) {
  for (int unit = begin; unit < end; ++unit) {
    int head = unit / blocks(p), first = unit % blocks(p) * kUnitQueries;
    for (int query = first; query < tokens(p.in) && query < first + kUnitQueries; ++query) attend(p, at, head, query);
  }
}

#endif

}  // namespace

const Kernel<AttentionParams> BITWRIGHT_KERNEL(attention) = {units, nullptr, nullptr, scratch_bytes, run};

}  // namespace bitwright

#ifndef BITWRIGHT_VECTORS
#define FAMILY attention
#define PARAMS AttentionParams
#include "kernels/family.inc"
#endif
