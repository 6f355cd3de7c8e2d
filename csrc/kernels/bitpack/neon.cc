#include "kernels/bitpack/packer.h"

namespace bitwright {

const Kernel<BitpackParams> bitpack_neon = {Packer::units, nullptr, nullptr, nullptr, Packer::run};

}  // namespace bitwright
