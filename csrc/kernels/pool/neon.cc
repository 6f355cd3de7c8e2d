#include "kernels/pool/pooler.h"

namespace bitwright {

const Kernel<PoolParams> pool_neon = {Pooler::units, nullptr, nullptr, nullptr, Pooler::run};

}  // namespace bitwright
