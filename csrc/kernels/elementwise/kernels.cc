#include "kernels/elementwise/elementwise.h"
#include "kernels/rows.h"

namespace bitwright {
namespace {

bool makes_codes(const ElementwiseParams& p) { return !p.epilogue.to_float && !p.zps; }

}  // namespace
}  // namespace bitwright

#define FAMILY elementwise
#define PARAMS ElementwiseParams
#include "kernels/family.inc"
