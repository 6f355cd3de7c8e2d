// What is asked of the operating system beyond the C++ library; system.cc is the one file with calls that others lack.
#pragma once

#include <cstddef>
#include <thread>
#include <vector>

namespace bitwright {

// How many CPUs this process may run on, at least 1.
int allowed_cpus();

// Keeps the workers off the CPU that the caller is on, where that is another than `last`, and on those that the process may
// use. Returns the caller's CPU, or `last` where nothing was done: elsewhere than on Linux.
int keep_off_this_cpu(std::vector<std::thread>& workers, int last);

// Asks for huge pages for memory that begins at such a page.
void advise_huge_pages(void* begin, size_t bytes);

// Whether this process may use the tile registers of AMX, which Linux gives to those that ask.
bool may_use_tiles();

// Which instructions beyond those of all aarch64 processors this one has.
struct ArmFeatures {
  bool dotprod = false, i8mm = false;
};
ArmFeatures arm_features();

}  // namespace bitwright
