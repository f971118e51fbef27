// expect: sdlora::Place: all SelectedDimensions of a placement share one set of channels
#include <sdlora/adapters/presets.hpp>

using namespace sdlora;

#ifdef SDLORA_EXPECT_FAILURE
constexpr std::size_t second = 16;
#else
constexpr std::size_t second = 15;
#endif

using Chosen = Place<On<site::ALog, SelectedDimensions<15, 4>>, On<site::XProjB, SelectedDimensions<second>>>;

int main() { return Chosen::selects ? 0 : 1; }
