#include "kernels/pool/pooler.h"

namespace bitwright {

const Kernel<PoolParams> pool_avx2 = {Pooler::units, nullptr, nullptr, nullptr, Pooler::run};

}  // namespace bitwright
