#include "support.hpp"

#include <doctest/doctest.h>

#include <cstdlib>
#include <string>

using namespace programs;

TEST_CASE("programs: tokenize prints the ids of a text, or of each line of a file") {
  const Workplace at;
  const Arguments base{"--model", at.at("base")};
  CHECK(run_well("sdlora tokenize", with(base, {"--text", "Az \xc3\xa9"})) == "[65, 122, 32, 195, 169]\n");
  CHECK(run_well("sdlora tokenize", with(base, {"--text", ""})) == "[]\n");
  CHECK(run_well("sdlora tokenize", with(base, {"--text", "a\nb"})) == "[97, 10, 98]\n");
  at.write("lines", "ab\n\nc\r\n d");
  CHECK(run_well("sdlora tokenize", with(base, {"--file", at.at("lines")})) ==
        "[97, 98]\n[]\n[99]\n[32, 100]\n");
  at.write("none", "");
  CHECK(run_well("sdlora tokenize", with(base, {"--file", at.at("none")})).empty());
  const std::string piped = "cat '" + at.at("lines") + "' | '" + path_of("sdlora") + "' tokenize --model '" +
                            at.at("base") + "' --file - >'" + at.at("out") + "'";
  REQUIRE(std::system(piped.c_str()) == 0);
  CHECK(test::content(at / "out") == "[97, 98]\n[]\n[99]\n[32, 100]\n");
  // The ids are those that score has of the same text.
  const std::string text = "the definition  of 12 words";
  CHECK(nlohmann::json::parse(run_well("sdlora tokenize", with(base, {"--text", text}))) ==
        nlohmann::json(score(with(base, {"--text", text})).ids));
}

TEST_CASE("programs: tokenize says what is wrong") {
  const Workplace at;
  const std::string base = at.at("base");
  check_fails("sdlora tokenize", {"--text", "a"}, {"--model"});
  check_fails("sdlora tokenize", {"--model", base}, {"--text", "--file"});
  check_fails("sdlora tokenize", {"--model", base, "--text", "a", "--file", "b"}, {"--text"});
  check_fails("sdlora tokenize", {"--model", base, "--file", at.at("absent")},
              {at.at("absent"), "no such file"});
  check_fails("sdlora tokenize", {"--model", base, "--file", at.at("base")}, {"found a directory"});
  check_fails("sdlora tokenize", {"--model", at.at("ids_base"), "--text", "a"}, {"config.json", "byte"});
  check_fails("sdlora tokenize", {"--model", at.at("absent"), "--text", "a"},
              {at.at("absent"), "no such folder"});
  at.write("latin", "caf\xe9\n");
  check_fails("sdlora tokenize", {"--model", base, "--file", at.at("latin")},
              {at.at("latin"), "line 1", "UTF-8"});
}
