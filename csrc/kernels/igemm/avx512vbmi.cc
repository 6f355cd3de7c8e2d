// With VBMI, for tables behind the sums.
#include "kernels/igemm/tiles512.h"

namespace bitwright {

const Kernel<IgemmParams> igemm_avx512vbmi = {units, packed_quads_bytes, pack_quads, nullptr, run};

}  // namespace bitwright
