#include "kernels/rows.h"

#include "kernels/bitgemm/bitgemm.h"
#include "kernels/bitpack/bitpack.h"
#include "kernels/depthwise/depthwise.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/grouped/grouped.h"
#include "kernels/igemm/igemm.h"
#include "kernels/move/move.h"
#include "kernels/pool/pool.h"
#include "kernels/table/table.h"

namespace bitwright {
namespace {

template <class Params>
void append(std::vector<KernelInfo>& all, const char* family, const KernelTable<Params>& table) {
  for (size_t i = 0; i < table.count; ++i)
    all.push_back({family, table.rows[i].name, isa_for(table.rows[i].needs), table.rows[i].needs});
}

}  // namespace

std::vector<KernelInfo> all_kernels() {
  std::vector<KernelInfo> all;
  append(all, "igemm", igemm_kernels());
  append(all, "depthwise", depthwise_kernels());
  append(all, "bitgemm", bitgemm_kernels());
  append(all, "bitpack", bitpack_kernels());
  append(all, "grouped", grouped_kernels());
  append(all, "elementwise", elementwise_kernels());
  append(all, "pool", pool_kernels());
  append(all, "table", table_kernels());
  append(all, "move", move_kernels());
  return all;
}

}  // namespace bitwright
