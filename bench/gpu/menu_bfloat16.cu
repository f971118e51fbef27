// The menu with matrices of bfloat16: a unit of its own, since every algorithm takes seconds to compile.
#include "../support/gpu/columns.cuh"

template void gpu_suite::add_menu<sdlora::BFloat16>(Suite&);
