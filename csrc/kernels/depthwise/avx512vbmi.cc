// With VBMI, for tables behind the sums.
#include "kernels/depthwise/columns512.h"
#include "kernels/depthwise/dense512.h"

namespace bitwright {

const Kernel<DepthwiseParams> depthwise_columns_avx512vbmi = {columns::units, columns::packed_bytes, columns::pack, nullptr,
                                                              columns::run};
const Kernel<DepthwiseParams> depthwise_dense_avx512vbmi = {dense::units, dense::packed_bytes, dense::pack, nullptr,
                                                            dense::run};

}  // namespace bitwright
