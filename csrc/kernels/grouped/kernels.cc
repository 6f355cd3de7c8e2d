#include "kernels/grouped/grouped.h"
#include "kernels/rows.h"

namespace bitwright {
namespace {

bool has_few_bits(const GroupedParams& p) { return p.few_bits; }

}  // namespace
}  // namespace bitwright

#define FAMILY grouped
#define PARAMS GroupedParams
#include "kernels/family.inc"
