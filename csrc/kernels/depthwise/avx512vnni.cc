// With and without VBMI, for tables behind the sums. The code is the same, since it is long, and a branch is soon decided.
#include "kernels/depthwise/columns512.h"
#include "kernels/depthwise/dense512.h"

namespace bitwright {
namespace {

template <void (*run)(const DepthwiseParams&, const Buffers&, int, int)>
void run_with_vbmi(const DepthwiseParams& p, const Buffers& at, int begin, int end) {
  DepthwiseParams with = p;
  with.vbmi = true;
  run(with, at, begin, end);
}

}  // namespace

const Kernel<DepthwiseParams> depthwise_columns_avx512vnni = {columns::units, columns::packed_bytes, columns::pack, nullptr,
                                                              columns::run};
const Kernel<DepthwiseParams> depthwise_columns_avx512vbmi = {columns::units, columns::packed_bytes, columns::pack, nullptr,
                                                              run_with_vbmi<columns::run>};
const Kernel<DepthwiseParams> depthwise_dense_avx512vnni = {dense::units, dense::packed_bytes, dense::pack, nullptr,
                                                            dense::run};
const Kernel<DepthwiseParams> depthwise_dense_avx512vbmi = {dense::units, dense::packed_bytes, dense::pack, nullptr,
                                                            run_with_vbmi<dense::run>};

}  // namespace bitwright
