// Thrust's host system; the body is shared with host compilers.
#include "../scan/thrust_host.cpp"
