#!/bin/bash -eu
# Builds the targets of csrc/fuzz as ClusterFuzzLite wants them: in $OUT, each with its seed corpus.
# Fewer tiles, and fewer checks at each pointer, as CMakeLists.txt has it for the sanitizers: unrolled kernels take minutes a file
# otherwise. Unsigned numbers are meant to wrap.
flags="$CXXFLAGS -O1 -DBITWRIGHT_FEW_TILES"
[ "${SANITIZER-}" != undefined ] || flags="$flags -fno-sanitize=null,object-size,unsigned-integer-overflow"
cmake -S . -B build/clusterfuzzlite -DBITWRIGHT_FUZZ=ON -DBITWRIGHT_FUZZ_ENGINE="$LIB_FUZZING_ENGINE" \
    -DCMAKE_C_COMPILER="$CC" -DCMAKE_CXX_COMPILER="$CXX" -DCMAKE_BUILD_TYPE=Own -DCMAKE_CXX_FLAGS="$flags"
cmake --build build/clusterfuzzlite --parallel "$(nproc)" --target {check,run,resize,artifact}_fuzzer
for target in check run resize artifact; do
    cp "build/clusterfuzzlite/csrc/fuzz/${target}_fuzzer" "$OUT"
    [ ! -e "csrc/fuzz/corpus/$target.zip" ] || cp "csrc/fuzz/corpus/$target.zip" "$OUT/${target}_fuzzer_seed_corpus.zip"
done
