#include <sdlora/training/model_maker.hpp>

#include "instances.hpp"
#include "placements.hpp"

template struct sdlora::ModelMaker<sdlora::examples::placements::LoraPeft>;
