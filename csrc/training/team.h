// The threads of training: those of PyTorch, whose own workers wait for the next operation by spinning, so that threads of
// ours would have to share the processors with them.
#pragma once

#include <cstddef>
#include <functional>

namespace bitwright {

// Calls job(0) ... job(count - 1), on up to `threads` threads of the OpenMP library of this process; here alone where it has
// none.
void share(size_t count, int threads, const std::function<void(size_t)>& job);

}  // namespace bitwright
