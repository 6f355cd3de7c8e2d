#include "kernels/rows.h"
#include "kernels/table/table.h"

namespace bitwright {
namespace {

bool has_one_table(const TableParams& p) { return !p.per_channel; }

// A table for each channel, and few channels that lie without neighbours.
bool is_image(const TableParams& p) {
  bool alone = p.in.pixel <= kImageLanes && p.out.pixel == kImageLanes && p.out.lanes == kImageLanes;
  return p.per_channel && p.out.c <= kImageLanes && alone;
}

bool has_many_tables(const TableParams& p) { return p.per_channel && p.out.c > kImageLanes; }

}  // namespace
}  // namespace bitwright

#define FAMILY table
#define PARAMS TableParams
#include "kernels/family.inc"
