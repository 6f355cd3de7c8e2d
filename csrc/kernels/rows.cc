#include "kernels/rows.h"

#include <algorithm>

namespace bitwright {
namespace {

std::vector<KernelInfo>& known() {
  static std::vector<KernelInfo> all;  // made by the first family, before main
  return all;
}

}  // namespace

void Family::add(const KernelInfo& kernel) { known().push_back(kernel); }

std::vector<KernelInfo> all_kernels() {
  std::vector<KernelInfo> all = known();
  std::stable_sort(all.begin(), all.end(), [](const KernelInfo& a, const KernelInfo& b) { return a.family < b.family; });
  return all;
}

}  // namespace bitwright
