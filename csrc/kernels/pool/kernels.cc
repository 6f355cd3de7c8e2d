#include "kernels/pool/pool.h"
#include "kernels/rows.h"

#define FAMILY pool
#define PARAMS PoolParams
#include "kernels/family.inc"
