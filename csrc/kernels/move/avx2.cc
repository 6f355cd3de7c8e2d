#include "kernels/move/shuffles.h"

namespace bitwright {

const Kernel<MoveParams> move_runs_avx2 = {block_count, nullptr, nullptr, nullptr, run_runs};
const Kernel<MoveParams> move_woven_avx2 = {block_count, nullptr, nullptr, nullptr, run_woven};
const Kernel<MoveParams> move_strided_avx2 = {block_count, nullptr, nullptr, nullptr, run_strided};
const Kernel<MoveParams> move_fill_avx2 = {block_count, nullptr, nullptr, nullptr, run_fill};

}  // namespace bitwright
