#define SDLORA_EXAMPLES_INSTANCE template
#include "instances.hpp"
