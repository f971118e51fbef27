#include "support.hpp"

#include <sdlora/io/selection_json.hpp>

#include <doctest/doctest.h>

#include <initializer_list>
#include <string>

using namespace sdlora;
using test::check_error;

namespace {

Selection parsed(const std::string& text, std::size_t layers) {
  const test::Folder folder;
  const auto path = folder.write("some.json", text);
  const nlohmann::json document = read_json(path);
  return parse_selection(JsonObject(document, path.string()), layers);
}

}  // namespace

TEST_CASE("selection as JSON: comes back, the sizes of the SSM aside") {
  const Selection some{20, 16, {{{1, 7, 19}, {0, 15, 3, 4, 5, 6}}, {{}, {}}, {{0}, {2}}}};
  const Selection again = parsed("{\"selection\": " + selection_text(some) + "}", 3);
  CHECK(again.layers == some.layers);
  CHECK(again.d_inner == 0);
  CHECK(selection_text({20, 16, {}}) == "[]");
  CHECK(parsed(R"({"selection": []})", 0).layers.empty());
}

TEST_CASE("selection as JSON: what is no list of layers is refused, with its place") {
  const auto refuse = [](const std::string& text, std::initializer_list<std::string> parts) {
    check_error<FileError>([&] { parsed(text, 2); }, parts);
  };
  refuse("{}", {"some.json", "field selection", "expected a list of at most 2 objects"});
  refuse(R"({"selection": {}})", {"field selection", "expected a list"});
  const std::string layer = R"({"channels": [1], "states": [0]})";
  CHECK(parsed("{\"selection\": [" + layer + ", " + layer + "]}", 2).layers.size() == 2);
  refuse("{\"selection\": [" + layer + ", " + layer + ", " + layer + "]}", {"at most 2 objects"});
  refuse("{\"selection\": [" + layer + ", 7]}", {"selection[1]", "object"});
  refuse(R"({"selection": [{"channels": [1]}]})", {"selection[0].states", "missing"});
  refuse(R"({"selection": [{"channels": [-1], "states": [0]}]})", {"selection[0].channels[0]", "-1"});
}
