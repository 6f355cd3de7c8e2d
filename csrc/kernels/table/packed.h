// The tables of channels as vectors look them up, one after the other.
#pragma once

#include "kernels/table/table.h"
#include "kernels/vec/vec.h"

namespace bitwright {
namespace {

size_t packed_tables_bytes(const TableParams& p) { return p.out.c * sizeof(Vec::Table); }

void pack_tables(const TableParams& p, const int8_t* /*weights*/, void* packed) {
  for (int c = 0; c < p.out.c; ++c) static_cast<Vec::Table*>(packed)[c] = Vec::Table(p.table + 256 * c);
}

}  // namespace
}  // namespace bitwright
