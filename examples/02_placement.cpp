// examples/02_placement.cpp: say in types what learns, site by site, and see what a model learns.
#include <cstdlib>
#include <iostream>
#include <sdlora/sdlora.hpp>
using namespace sdlora;

// Everything that is not named is frozen: the compiler leaves out its gradients and optimizer states. Pairs
// that make no sense, as LoRA on a bias, do not compile.
using Mine = Place<On<site::InProjX, LoRA<4>>,      // low rank, on any linear site
                   On<site::OutProj, LoRA<>>,       // the rank is given at run time
                   On<site::ConvBias, Full>,        // every value of the site
                   On<site::H0, Full>>;             // the state before the first token
using Model = MambaModel<presets::AnyMamba, Mine>;  // any size: the checkpoint says which

int main() try {
  auto base = load_base<presets::AnyMamba>(SDLORA_SOURCE_DIR "/examples/base");

  // A range restricts one site to layers [first, last). The others learn in every layer.
  Model everywhere{base, {LoRAOptions{.rank = 16}}};
  Model upper_half{base, {LoRAOptions{.rank = 16}, Layers<site::OutProj>{4, 8}}};
  std::cout << upper_half.placement() << "\n\n";
  print_coverage(std::cout, upper_half);  // a site or a layer left out by mistake shows here

  // 4 layers fewer, with rank · (outputs + inputs) values in each.
  const MambaDimensions& m = base->dimensions();
  const std::size_t fewer = everywhere.parameters().size() - upper_half.parameters().size();
  std::cout << "\nThe range saves " << fewer << " parameters.\n";
  return fewer == 4 * 16 * (m.d_model + m.d_inner) ? EXIT_SUCCESS : EXIT_FAILURE;
} catch (const std::exception& e) {
  std::cerr << "02_placement: " << e.what() << '\n';
  return EXIT_FAILURE;
}
