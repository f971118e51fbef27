#include <iostream>
#include <sdlora/sdlora.hpp>

int version_of_the_other_unit();

int main() {
  const int version = SDLORA_VERSION_MAJOR * 10000 + SDLORA_VERSION_MINOR * 100 + SDLORA_VERSION_PATCH;
  if (version != version_of_the_other_unit()) {
    std::cerr << "two units see different versions\n";
    return 1;
  }
  try {
    throw sdlora::ShapeError("expected");
  } catch (const sdlora::Error&) {
    return 0;
  }
}
