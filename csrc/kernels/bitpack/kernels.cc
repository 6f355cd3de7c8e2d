#include "kernels/bitpack/bitpack.h"
#include "kernels/rows.h"

namespace bitwright {
namespace {

// Or none, or thresholds in place of tables.
bool has_one_table(const BitpackParams& p) { return p.thresholds || !p.per_channel; }

}  // namespace
}  // namespace bitwright

#define FAMILY bitpack
#define PARAMS BitpackParams
#include "kernels/family.inc"
