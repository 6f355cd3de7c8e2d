#include "kernels/bitgemm/pairs512.h"

namespace bitwright {

const Kernel<BitgemmParams> bitgemm_avx512 = {bit_pieces, packed_bits_bytes, pack_bits, nullptr, run_pairs};

}  // namespace bitwright
