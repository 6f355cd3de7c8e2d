// Kernel tables. A family lists its kernels once, best first, in its rows.inc:
//
//   ROW(symbol, "name", the features it needs, the cases it accepts or nullptr for all)
//
// From this list come the declarations in the family's header, its table, and what tests and benchmarks iterate over. The last
// row needs nothing and accepts everything. What a row accepts is decided here, in code that runs on every machine, so the
// choice for any set of features can be tested on any machine.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "kernels/features.h"
#include "kernels/kernel.h"

namespace bitwright {

template <class Params>
struct KernelRow {
  const char* name;
  Features needs;
  bool (*accepts)(const Params&);
  const Kernel<Params>* kernel;
};

template <class Params>
struct KernelTable {
  const KernelRow<Params>* rows;
  size_t count;

  template <size_t kCount>
  constexpr KernelTable(const KernelRow<Params> (&rows)[kCount]) : rows(rows), count(kCount) {}

  const KernelRow<Params>& choose(const Params& params, Features features) const {
    for (size_t i = 0; i + 1 < count; ++i)
      if (has(features, rows[i].needs) && (!rows[i].accepts || rows[i].accepts(params))) return rows[i];
    return rows[count - 1];
  }
};

// A row of any family.
struct KernelInfo {
  std::string family, name, isa;
  Features needs;
};
// The rows of all families, by name.
std::vector<KernelInfo> all_kernels();

// A family of kernels; one object in its kernels.cc makes all_kernels() know it.
class Family {
 public:
  template <class Params>
  Family(const char* name, const KernelTable<Params>& table) {
    for (size_t i = 0; i < table.count; ++i) add({name, table.rows[i].name, isa_for(table.rows[i].needs), table.rows[i].needs});
  }

 private:
  static void add(const KernelInfo& kernel);
};

}  // namespace bitwright
