#include "kernels/table/channels.h"
#include "kernels/table/image.h"
#include "kernels/table/shared.h"

namespace bitwright {

const Kernel<TableParams> table_neon = {table_units, nullptr, nullptr, nullptr, run_table};
const Kernel<TableParams> table_channels_neon = {table_units, packed_tables_bytes, pack_tables, nullptr, run_channels};
const Kernel<TableParams> table_image_neon = {table_units, packed_tables_bytes, pack_tables, nullptr, run_image};

}  // namespace bitwright
