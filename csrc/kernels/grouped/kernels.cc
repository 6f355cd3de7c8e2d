#include "kernels/grouped/grouped.h"
#include "kernels/rows.h"

namespace bitwright {
namespace {

bool has_few_bits(const GroupedParams& p) { return p.few_bits; }

}  // namespace

KernelTable<GroupedParams> grouped_kernels() {
  static constexpr KernelRow<GroupedParams> rows[] = {
#define ROW(symbol, name, needs, accepts) {name, needs, accepts, &symbol},
#include "kernels/grouped/rows.inc"
#undef ROW
  };
  return rows;
}

const Family grouped_family("grouped", grouped_kernels());

}  // namespace bitwright
