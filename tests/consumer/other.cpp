#include <sdlora/sdlora.hpp>

int version_of_the_other_unit();

int version_of_the_other_unit() {
  return SDLORA_VERSION_MAJOR * 10000 + SDLORA_VERSION_MINOR * 100 + SDLORA_VERSION_PATCH;
}
