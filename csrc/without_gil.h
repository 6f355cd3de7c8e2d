// Runs C++ while other Python threads go on. Before 3.14 Python ends a thread that asks for the lock while the interpreter goes
// down, by unwinding it through our frames, which aborts the process. So such a thread, a daemon, never asks: it sleeps until
// the process is over, as 3.14 has it.
#pragma once

#include <nanobind/nanobind.h>

#include <utility>

namespace bitwright {

// To be run by atexit: from now on only the thread that runs this gets the lock again after a call.
void close_interpreter();

// Takes the lock back that PyEval_SaveThread gave away.
void take_gil(PyThreadState* state);

template <class F>
auto without_gil(F f) -> decltype(f()) {
  struct Released {
    PyThreadState* state = PyEval_SaveThread();
    ~Released() { take_gil(state); }
  } released;
  return f();
}

}  // namespace bitwright
