#!/bin/bash -eu
# Builds the targets of csrc/fuzz as ClusterFuzzLite wants them: in $OUT, each with its seed corpus.
cmake -S . -B build/clusterfuzzlite -DBITWRIGHT_FUZZ=ON -DBITWRIGHT_FUZZ_ENGINE="$LIB_FUZZING_ENGINE" \
    -DCMAKE_C_COMPILER="$CC" -DCMAKE_CXX_COMPILER="$CXX" -DCMAKE_BUILD_TYPE=Own -DCMAKE_CXX_FLAGS="$CXXFLAGS -O1"
cmake --build build/clusterfuzzlite --parallel "$(nproc)"
for target in check run resize artifact; do
    cp "build/clusterfuzzlite/csrc/fuzz/${target}_fuzzer" "$OUT"
    [ ! -e "csrc/fuzz/corpus/$target.zip" ] || cp "csrc/fuzz/corpus/$target.zip" "$OUT/${target}_fuzzer_seed_corpus.zip"
done
