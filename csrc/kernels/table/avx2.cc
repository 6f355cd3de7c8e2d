#include "kernels/table/shared.h"

namespace bitwright {

const Kernel<TableParams> table_avx2 = {table_units, nullptr, nullptr, nullptr, run_table};

}  // namespace bitwright
