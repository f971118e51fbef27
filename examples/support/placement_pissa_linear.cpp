#include <sdlora/training/model_maker.hpp>

#include "instances.hpp"
#include "placement_names.hpp"

template struct sdlora::ModelMaker<sdlora::examples::placements::PissaLinear>;
