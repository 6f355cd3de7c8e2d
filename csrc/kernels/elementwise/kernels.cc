#include "kernels/elementwise/elementwise.h"
#include "kernels/rows.h"

namespace bitwright {
namespace {

bool makes_codes(const ElementwiseParams& p) { return !p.epilogue.to_float && !p.zps; }

}  // namespace

KernelTable<ElementwiseParams> elementwise_kernels() {
  static constexpr KernelRow<ElementwiseParams> rows[] = {
#define ROW(symbol, name, needs, accepts) {name, needs, accepts, &symbol},
#include "kernels/elementwise/rows.inc"
#undef ROW
  };
  return rows;
}

const Family elementwise_family("elementwise", elementwise_kernels());

}  // namespace bitwright
