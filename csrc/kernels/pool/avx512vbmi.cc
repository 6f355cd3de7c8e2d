#include "kernels/pool/pooler.h"

namespace bitwright {

const Kernel<PoolParams> pool_avx512vbmi = {Pooler::units, nullptr, nullptr, nullptr, Pooler::run};

}  // namespace bitwright
