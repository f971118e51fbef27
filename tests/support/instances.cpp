#define SDLORA_TEST_INSTANCE template
#include "instances.hpp"
