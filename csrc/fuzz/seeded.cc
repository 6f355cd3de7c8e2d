// A target on inputs from numbers: `check_seeded FIRST COUNT`. Input i is the same wherever and whenever it runs, so long
// runs can be done in pieces, and one that fails is named by its number. Prints how many there were of each outcome, and
// the longest time of one.
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <exception>
#include <vector>

#include "fuzz/choices.h"
#include "fuzz/target.h"

namespace {

uint64_t current;

// Of the processor, in seconds: others may be running.
double now() {
  timespec time;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

void say_which(int) {
  std::fprintf(stderr, "input %llu\n", static_cast<unsigned long long>(current));
  std::_Exit(1);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return std::fprintf(stderr, "usage: %s FIRST COUNT\n", argv[0]), 2;
  uint64_t first = std::strtoull(argv[1], nullptr, 10), count = std::strtoull(argv[2], nullptr, 10);
  bitwright::fuzz::Outcomes all;
  std::signal(SIGABRT, say_which);
  std::set_terminate([] {
    try {
      std::rethrow_exception(std::current_exception());
    } catch (const std::exception& error) {
      std::fprintf(stderr, "%s\n", error.what());
    }
    say_which(0);
  });
  double longest = 0;
  std::vector<uint8_t> input;
  for (current = first; current < first + count; ++current) {
    bitwright::fuzz::Noise noise(current);
    input.resize(16 + noise.next() % 240);
    for (uint8_t& byte : input) byte = noise.byte();
    double begin = now();
    bitwright::fuzz::Outcomes of = bitwright::fuzz::one_input(input.data(), input.size());
    all.accepted += of.accepted, all.refused += of.refused, all.large += of.large;
    longest = std::max(longest, now() - begin);
  }
  std::printf("inputs %llu accepted %llu refused %llu large %llu longest_ms %.1f\n", static_cast<unsigned long long>(count),
              static_cast<unsigned long long>(all.accepted), static_cast<unsigned long long>(all.refused),
              static_cast<unsigned long long>(all.large), 1e3 * longest);
}
