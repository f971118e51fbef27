#include <sdlora/adapters/methods.hpp>

#include <doctest/doctest.h>

#include <set>
#include <string>

using namespace sdlora;

TEST_CASE("methods: each has a name of its own, and options that it takes as they are") {
  std::set<std::string> names;
  const auto look = [&]<class... Policies>(MethodList<Policies...>) {
    const auto one = [&]<class Policy>(Policy) {
      CAPTURE(Policy::name);
      CHECK(names.insert(std::string(Policy::name)).second);
      typename Policy::options options;
      Policy::options::visit(options, [&](const Setting& setting, const auto& value) {
        CAPTURE(setting.name);
        CHECK(!setting.help.empty());
        CHECK((setting.good == nullptr || setting.good(static_cast<double>(value))));
      });
    };
    (one(Policies{}), ...);
  };
  look(Methods{});
  CHECK(names.contains("lora"));
}
