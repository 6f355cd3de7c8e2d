#include "kernels/bitgemm/bitgemm.h"
#include "kernels/rows.h"

#define FAMILY bitgemm
#define PARAMS BitgemmParams
#include "kernels/family.inc"
