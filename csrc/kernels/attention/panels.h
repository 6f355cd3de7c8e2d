// Products of a few rows by what is packed in panels, a vector of columns each. Numbers are multiplied in groups of neighbours
// that fill a lane of int32:
//
//   with VNNI     4 unsigned codes times 4 signed ones, so columns are packed less 128, which kBase says
//   without       2 numbers of 16 bits
//
// A panel is [group][column][kGroup], so a vector holds one group of as many columns as there are lanes, and a row's group is
// one number for all of them. What lies beyond the last number or column is 0.
#pragma once

#include "kernels/unrolled.h"
#include "kernels/vec/vec.h"

namespace bitwright {
namespace {

#ifdef __AVX512VNNI__
constexpr int kGroup = 4, kBase = 128;
using Number = uint8_t;
inline Vec::Ints multiply_add(Vec::Ints sum, Vec::Ints row, Vec::Ints panel) { return _mm512_dpbusd_epi32(sum, row, panel); }
#else
constexpr int kGroup = 2, kBase = 0;
using Number = uint16_t;
inline Vec::Ints multiply_add(Vec::Ints sum, Vec::Ints row, Vec::Ints panel) {
  return Vec::add(sum, Vec::multiply_words(row, panel));
}
#endif

constexpr int kBits = 32 / kGroup;

constexpr int round_up(int n, int to) { return (n + to - 1) / to * to; }

// Up to kGroup numbers, less `base`, as the int32 that they fill; the others are 0.
inline int32_t group_of(const uint8_t* codes, int count, int base) {
  Number numbers[kGroup] = {};
  for (int i = 0; i < kGroup && i < count; ++i) numbers[i] = static_cast<Number>(codes[i] - base);
  int32_t group;
  __builtin_memcpy(&group, numbers, sizeof(group));
  return group;
}

struct Panels {
  Panels(int columns, int depth)
      : columns(columns),
        depth(depth),
        groups((depth + kGroup - 1) / kGroup),
        count((columns + Vec::kLanes - 1) / Vec::kLanes) {}

  int lanes() const { return count * Vec::kLanes; }
  size_t size() const { return static_cast<size_t>(groups) * lanes(); }
  int32_t* group(int panel, int g) const { return at + (static_cast<ptrdiff_t>(panel) * groups + g) * Vec::kLanes; }
  int32_t* group_of_column(int c, int g) const { return group(c / Vec::kLanes, g) + c % Vec::kLanes; }

  // Column c has its numbers side by side from column_of(c) on.
  template <class F>
  void pack_columns(const F& column_of) const {
    __builtin_memset(at, 0, size() * sizeof(int32_t));
    for (int c = 0; c < columns; ++c) {
      const uint8_t* codes = column_of(c);
      int32_t* to = group_of_column(c, 0);
      for (int g = 0; g < groups; ++g, to += Vec::kLanes) *to = group_of(codes + g * kGroup, depth - g * kGroup, kBase);
    }
  }

  // Number i of all columns lies side by side from row_of(i) on.
  template <class F>
  void pack_rows(const F& row_of) const {
    __builtin_memset(at, 0, size() * sizeof(int32_t));
    for (int g = 0; g < groups; ++g) {
      const uint8_t* rows[kGroup];
      int there = depth - g * kGroup < kGroup ? depth - g * kGroup : kGroup;
      for (int i = 0; i < kGroup; ++i) rows[i] = row_of(g * kGroup + (i < there ? i : 0));
      const uint32_t keep = there == kGroup ? ~uint32_t{0} : (uint32_t{1} << (kBits * there)) - 1;
      for (int panel = 0; panel < count; ++panel) {
        int32_t* to = group(panel, g);
        int first = panel * Vec::kLanes, last = columns - first < Vec::kLanes ? columns - first : Vec::kLanes;
        for (int c = 0; c < last; ++c) {
          uint32_t numbers = 0;
          for (int i = 0; i < kGroup; ++i)
            numbers |= static_cast<uint32_t>(static_cast<Number>(rows[i][first + c] - kBase)) << (kBits * i);
          to[c] = static_cast<int32_t>(numbers & keep);
        }
      }
    }
  }

  int columns, depth, groups, count;
  int32_t* at = nullptr;  // count panels
};

// kRows rows, `row_groups` numbers apart, by kPanels panels from `panel` on, added to `starts` (of each column, or null).
template <int kRows, int kPanels>
void multiply(const Panels& panels, int panel, const int32_t* rows, ptrdiff_t row_groups, const int32_t* starts, int32_t* out,
              ptrdiff_t out_row) {
  Vec::Ints sums[kRows][kPanels];
  unrolled<kPanels>([&](auto v) BITWRIGHT_INLINE {
    Vec::Ints start = starts ? Vec::load_ints(starts + (panel + v) * Vec::kLanes) : Vec::zero();
    unrolled<kRows>([&](auto r) BITWRIGHT_INLINE { sums[r][v] = start; });
  });
  for (int g = 0; g < panels.groups; ++g) {
    Vec::Ints columns[kPanels];
    unrolled<kPanels>([&](auto v) BITWRIGHT_INLINE { columns[v] = Vec::load_ints(panels.group(panel + v, g)); });
    unrolled<kRows>([&](auto r) BITWRIGHT_INLINE {
      Vec::Ints row = Vec::splat_int(rows[r * row_groups + g]);
      unrolled<kPanels>([&](auto v) BITWRIGHT_INLINE { sums[r][v] = multiply_add(sums[r][v], row, columns[v]); });
    });
  }
  unrolled<kRows>([&](auto r) BITWRIGHT_INLINE {
    unrolled<kPanels>([&](auto v)
                          BITWRIGHT_INLINE { Vec::store_ints(out + r * out_row + (panel + v) * Vec::kLanes, sums[r][v]); });
  });
}

// The same of all panels.
template <int kRows>
void multiply_all(const Panels& panels, const int32_t* rows, ptrdiff_t row_groups, const int32_t* starts, int32_t* out,
                  ptrdiff_t out_row) {
  int panel = 0;
  for (; panel + 4 <= panels.count; panel += 4) multiply<kRows, 4>(panels, panel, rows, row_groups, starts, out, out_row);
  for (; panel < panels.count; ++panel) multiply<kRows, 1>(panels, panel, rows, row_groups, starts, out, out_row);
}

}  // namespace
}  // namespace bitwright
