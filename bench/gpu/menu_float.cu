// The menu with matrices of float: a unit of its own, since every algorithm takes seconds to compile.
#include "../support/gpu/columns.cuh"

template void gpu_suite::add_menu<float>(Suite&);
