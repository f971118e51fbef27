// Thrust's host system; the body is shared with host compilers.
#include "../scan/menu/thrust_host.cpp"
