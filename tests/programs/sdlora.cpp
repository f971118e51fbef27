#include "support.hpp"

#include <doctest/doctest.h>

#include <sdlora/version.hpp>
#include <string>

#include "support/config_file.hpp"
#include "support/nearest.hpp"

using namespace programs;

namespace {

const std::string version = "sdlora " + std::to_string(SDLORA_VERSION_MAJOR) + "." +
                            std::to_string(SDLORA_VERSION_MINOR) + "." +
                            std::to_string(SDLORA_VERSION_PATCH) + "\n";
const std::string commands[] = {"finetune", "generate", "score",   "evaluate",
                                "merge",    "export",   "inspect", "tokenize"};

}  // namespace

TEST_CASE("programs: sdlora lists its commands") {
  const std::string help = run_well("sdlora", {"--help"});
  for (const std::string& command : commands) {
    CAPTURE(command);
    CHECK(help.find("\n  " + command + " ") != std::string::npos);
  }
  CHECK(help.find("sdlora COMMAND --help") != std::string::npos);
  CHECK(help.find("Examples:\n  sdlora finetune --model") != std::string::npos);
  CHECK(run_well("sdlora", {"-h"}) == help);
  CHECK(run_well("sdlora", {"--version"}) == version);

  const Result none = run("sdlora", {});
  CHECK(none.status == 2);
  CHECK(none.out.empty());
  CHECK(none.err == help);
}

TEST_CASE("programs: sdlora names the nearest of its commands") {
  check_fails(
      "sdlora", {"finetun"},
      {"expected a command first, found 'finetun', which is near 'finetune'; the commands are finetune"});
  check_fails("sdlora", {"compare_placements"},
              {"found 'compare_placements'; the commands are finetune, generate"});
  check_fails("sdlora", {"--quiet", "merge"}, {"expected a command first, found '--quiet'"});
  check_fails("sdlora", {""}, {"found ''; the commands are"});
  CHECK(run("sdlora", {"finetun"}).status == 2);
  check_fails("sdlora merge", {"--model", "a", "--adapter", "b", "--out", "c", "finetune"},
              {"finetune", "--help lists the options"});
}

TEST_CASE("programs: sdlora names the option that is near an unknown one") {
  const Arguments merge{"--model", "a", "--adapter", "b", "--out", "c"};
  check_fails("sdlora merge", with(merge, {"--dtyp", "float32"}),
              {"--dtyp", "which is near 'dtype'; --help"});
  check_fails("sdlora merge", with(merge, {"--dtypee=float32"}),
              {"--dtypee", "which is near 'dtype'; --help"});
  const Result far = run("sdlora merge", with(merge, {"--nothing-like-that"}));
  CHECK(far.status == 2);
  CHECK(far.err.find("near") == std::string::npos);
}

TEST_CASE("programs: each command of sdlora has examples, its version and a file of options") {
  for (const std::string& command : commands) {
    CAPTURE(command);
    const std::string help = run_well("sdlora " + command, {"--help"});
    CHECK(help.find("Usage: sdlora " + command + " [OPTIONS]") != std::string::npos);
    CHECK(help.find("\nExamples:\n  sdlora " + command + " ") != std::string::npos);
    for (const char* option : {"--config PATH", "--quiet", "--version"}) {
      CAPTURE(option);
      CHECK(help.find(option) != std::string::npos);
    }
    CHECK(run_well("sdlora " + command, {"--version"}) == version);
  }
}

TEST_CASE("the nearest name") {
  using sdlora::examples::edit_distance;
  using sdlora::examples::nearest;
  CHECK(edit_distance("", "") == 0);
  CHECK(edit_distance("abc", "") == 3);
  CHECK(edit_distance("", "abc") == 3);
  CHECK(edit_distance("kitten", "sitting") == 3);
  CHECK(edit_distance("sitting", "kitten") == 3);
  const std::vector<std::string> names{"merge", "generate", "rank", "top-k", "top-p"};
  CHECK(nearest("merg", names) == "merge");
  CHECK(nearest("gnerate", names) == "generate");
  CHECK(nearest("rnak", names) == "rank");
  CHECK(nearest("top-q", names) == "top-k");
  CHECK(nearest("x", {"merge"}) == "");
  CHECK(nearest("finetune", names) == "");
  CHECK(nearest("a", {}) == "");
}

TEST_CASE("a file of options: numbers, words, texts and lists, with comments") {
  const test::Folder folder;
  const auto read = [&](const std::string& text) {
    folder.write("run.toml", text);
    std::string all;
    for (const auto& [key, value, line] : sdlora::examples::read_config_file(folder / "run.toml"))
      all += key + "=" + value + "@" + std::to_string(line) + "|";
    return all;
  };
  CHECK(read("") == "");
  CHECK(read("# all\n\n  rank = 8 # of all sites\r\nlearning_rate=1e-3;rate\n") ==
        "rank=8@3|learning-rate=1e-3@4|");
  CHECK(read("stop = \"###\\n\\t\\\\\\\"\" # end\n") == "stop=###\n\t\\\"@1|");
  CHECK(read("stop = '\\n#' ; end") == "stop=\\n#@1|");
  CHECK(read("a = \"\"\nb = a bare word\nc = \"x = y\"") == "a=@1|b=a bare word@2|c=x = y@3|");
  CHECK(read("ids = [1, 2 ,3] # three\nnames = [\"a b\", 'c',]\nnone = []") ==
        "ids=1,2,3@1|names=a b,c@2|none=@3|");

  const auto refused = [&](const std::string& text, std::initializer_list<std::string> parts) {
    CAPTURE(text);
    test::check_error<sdlora::FileError>([&] { read(text); }, parts);
  };
  refused("rank = 8\nrank", {"run.toml: line 2", "expected key = value, found 'rank'"});
  refused("= 8", {"line 1", "expected key = value"});
  refused("[finetune]\nrank = 8", {"line 1", "found a section"});
  refused("rank = 8\n\nrank = 9", {"line 3", "found 'rank' again, as in line 1"});
  refused("rank =", {"line 1", "expected a value, found none"});
  refused("rank = # 8", {"expected a value, found none"});
  refused("stop = \"a", {"a text that ends in \" on the same line"});
  refused("stop = \"a\\x\"", {"another character behind a \\"});
  refused("stop = \"a\" b", {"nothing but a comment behind the value, found 'b'"});
  refused("stop = a\"b\"", {"quotes around the whole value"});
  refused("ids = [1, 2", {"a list that ends in ] on the same line"});
  refused("ids = [1,,2]", {"expected a value, found none"});
  refused("names = [\"a,b\"]", {"elements without commas"});
  refused("stop = \"\xff\"", {"line 1", "expected UTF-8"});
}

TEST_CASE("programs: options come from a file, and the command line wins") {
  const Workplace at;
  const Arguments arguments = at.finetune("bitfit", "given");
  run_well("sdlora finetune", arguments);
  std::string file = "# the same run\n";
  for (std::size_t i = 0; i < arguments.size(); i += 2) {
    const std::string& value = arguments[i + 1];
    const bool quoted = value.find('/') != std::string::npos;
    file += arguments[i].substr(2) + " = " + (quoted ? "\"" + value + "\"" : value) + "\n";
  }
  at.write("run.toml", file);
  run_well("sdlora finetune", {"--config", at.at("run.toml"), "--out", at.at("read")});
  CHECK(test::content(at / "read/adapter.safetensors") == test::content(at / "given/adapter.safetensors"));
  CHECK(test::content(at / "read/metrics.jsonl").find("\"step\": 3") != std::string::npos);
  run_well("sdlora finetune", {"--steps", "2", "--config", at.at("run.toml"), "--out", at.at("shorter")});
  CHECK(test::content(at / "shorter/metrics.jsonl").find("\"step\": 3") == std::string::npos);

  // Options of which one is asked for, flags, and lists.
  at.write("ids.toml", "model = '" + at.at("base") + "'\nids = [1, 2, 3]\njson = true\nthreads = 1\n");
  const std::string list = run_well("sdlora score", {"--config", at.at("ids.toml")});
  CHECK(list == run_well("sdlora score", {"--model", at.at("base"), "--ids", "1,2,3", "--json"}));
  at.write("ids.toml", "model = '" + at.at("base") + "'\nids = [1, 2, 3]\njson = false\n");
  CHECK(run_well("sdlora score", {"--config", at.at("ids.toml"), "--json"}) == list);
  CHECK(run_well("sdlora score", {"--config", at.at("ids.toml")}) != list);
}

TEST_CASE(
    "programs: what a file of options has wrong is named by file, line and key, and nothing is written") {
  const Workplace at;
  const auto fails = [&](const std::string& text, std::initializer_list<std::string> parts) {
    CAPTURE(text);
    at.write("run.toml", text);
    check_fails("sdlora finetune", with(at.finetune("bitfit", "out"), {"--config", at.at("run.toml")}),
                parts);
    CHECK(!std::filesystem::exists(at / "out"));
  };
  const std::string file = at.at("run.toml");
  fails("\nrnak = 4\n",
        {file + ": line 2", "expected the name of an option, found 'rnak'", "which is near 'rank'"});
  fails("no-such-thing-at-all = 4\n", {file + ": line 1", "found 'no-such-thing-at-all'"});
  fails("config = other\n", {file + ": line 1", "found 'config'"});
  fails("help = true\n", {file + ": line 1", "found 'help'"});
  fails("version = true\n", {file + ": line 1", "found 'version'"});
  fails("seed = many\n", {file + ": line 1", "--seed", "expected a whole number", "many"});
  fails("clip = much\n", {file + ": line 1", "--clip", "much"});
  fails("decay = steep\n", {file + ": line 1", "--decay", "steep"});
  fails("resume = perhaps\n", {file + ": line 1", "--resume: expected true or false, found 'perhaps'"});
  fails("epochs = 0\n", {file + ": line 1", "--epochs", "at least 1"});
  fails("[finetune]\n", {file + ": line 1", "section"});
  check_fails("sdlora finetune", with(at.finetune("bitfit", "out"), {"--config", at.at("absent.toml")}),
              {at.at("absent.toml"), "no such file"});
  // What cannot stand together, cannot come from both sides either.
  fails("epochs = 1\n", {"--epochs", "--steps"});
}

TEST_CASE("programs: --quiet leaves the progress out, and neither results nor errors") {
  const Workplace at;
  for (const char* placement : {"bitfit", "sdlora"}) {
    const Arguments loud =
        with(at.finetune(placement, std::string("loud-") + placement), {"--eval", at.at("dev.jsonl")});
    const Arguments quiet = with(at.finetune(placement, std::string("quiet-") + placement),
                                 {"--eval", at.at("dev.jsonl"), "--quiet"});
    CHECK(run("sdlora finetune", loud).err.find("adapter written to") != std::string::npos);
    const Result result = run("sdlora finetune", quiet);
    CHECK(result.status == 0);
    CHECK(result.out.empty());
    // That options have no effect is no progress.
    CHECK(result.err.starts_with("without effect under placement"));
    CHECK(std::count(result.err.begin(), result.err.end(), '\n') == 1);
    CHECK(test::content(at / (std::string("quiet-") + placement) / "adapter.safetensors") ==
          test::content(at / (std::string("loud-") + placement) / "adapter.safetensors"));
  }
  const Result merged = run("sdlora merge", {"--model", at.at("base"), "--adapter", at.at("quiet-bitfit"),
                                             "--out", at.at("merged"), "--quiet"});
  CHECK(merged.status == 0);
  CHECK(merged.err.empty());
  CHECK(std::filesystem::exists(at / "merged/model.safetensors"));
  const Arguments ids{"--model", at.at("base"), "--ids", "1,2,3"};
  CHECK(run_well("sdlora score", with(ids, {"--quiet"})) == run_well("sdlora score", ids));
  check_fails("sdlora score", {"--model", at.at("base"), "--ids", "1", "--quiet"}, {"at least 2 tokens"});
}
