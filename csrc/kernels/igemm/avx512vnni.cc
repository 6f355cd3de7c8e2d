// Without VBMI: Cascade Lake, Cooper Lake; and what needs none anywhere.
#include "kernels/igemm/tiles512.h"
#include "kernels/igemm/winograd512.h"

namespace bitwright {

const Tiles<SumsTile> igemm_sums_avx512 =
    tiles_of<SumsTile, false>([](auto pixels, auto panels, auto half) { return sums_tile<pixels, panels, half == 1>; });
const Finish igemm_plain_avx512 = finish_of<Kind::plain>(), igemm_residual_avx512 = finish_of<Kind::residual>();

const Kernel<IgemmParams> igemm_avx512vnni = {units, packed_quads_bytes, pack_quads, nullptr, run};

const Kernel<IgemmParams> winograd_avx512vnni = {winograd_units, winograd_packed_bytes, pack_winograd, winograd_scratch_bytes,
                                                 run_winograd};

}  // namespace bitwright
