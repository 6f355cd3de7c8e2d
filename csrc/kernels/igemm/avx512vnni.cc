// Without VBMI: Cascade Lake, Cooper Lake.
#include "kernels/igemm/tiles512.h"

namespace bitwright {

const Kernel<IgemmParams> igemm_avx512vnni = {units, packed_quads_bytes, pack_quads, nullptr, run};

}  // namespace bitwright
