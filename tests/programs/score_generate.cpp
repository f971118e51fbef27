#include "support.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

using namespace programs;

TEST_CASE("programs: score of ids, a text and a file") {
  const Workplace at;
  const std::string text = "Zebra \xc3\xa9!\n";
  at.write("text", text);
  std::string list;
  for (const char c : text)
    list += (list.empty() ? "" : ",") + std::to_string(static_cast<int>(static_cast<unsigned char>(c)));
  const Scores ids = score({"--model", at.at("base"), "--ids", list});
  const Scores as_text = score({"--model", at.at("base"), "--text", text});
  const Scores file = score({"--model", at.at("base"), "--file", at.at("text"), "--threads", "1"});
  CHECK(ids.ids.size() == text.size());
  const std::string spaced = std::regex_replace(list, std::regex(","), ", ");
  CHECK(score({"--model", at.at("base"), "--ids", spaced}).ids == ids.ids);
  CHECK(largest_difference(ids, as_text) == 0.0);
  CHECK(largest_difference(ids, file) == 0.0);
  CHECK(ids.perplexity == file.perplexity);

  std::istringstream lines(run_well("sdlora score", {"--model", at.at("base"), "--ids", list}));
  for (std::size_t i = 0; i < ids.logprobs.size(); ++i) {
    std::int32_t id = 0;
    double value = 0.0;
    REQUIRE((lines >> id >> value));
    CHECK(id == ids.ids[i + 1]);
    CHECK(value == doctest::Approx(ids.logprobs[i]).epsilon(1e-4));
  }
  std::string word;
  double perplexity = 0.0;
  REQUIRE((lines >> word >> perplexity));
  CHECK(word == "perplexity");
  CHECK(perplexity == doctest::Approx(ids.perplexity).epsilon(1e-4));
}

TEST_CASE("programs: matrices of bfloat16 and int8 score nearly as floats do, with adapters of their own") {
  const Workplace at;
  const std::string list = "52,49,32,105,115,32,51,50";
  const auto score_as = [&](const char* weights) {
    return score({"--model", at.at("base"), "--ids", list, "--weights", weights});
  };
  const Scores plain = score({"--model", at.at("base"), "--ids", list});
  const Scores floats = score_as("float32"), rounded = score_as("bfloat16");
  CHECK(floats.logprobs == plain.logprobs);
  CHECK(rounded.logprobs != plain.logprobs);
  REQUIRE(rounded.logprobs.size() == plain.logprobs.size());
  for (std::size_t i = 0; i < plain.logprobs.size(); ++i) {
    CHECK(std::abs(rounded.logprobs[i] - plain.logprobs[i]) < 0.1);
  }
  const Scores narrow = score_as("int8");
  CHECK(narrow.logprobs != plain.logprobs);
  REQUIRE(narrow.logprobs.size() == plain.logprobs.size());
  for (std::size_t i = 0; i < plain.logprobs.size(); ++i) {
    CHECK(std::abs(narrow.logprobs[i] - plain.logprobs[i]) < 0.1);
  }
  for (const char* weights : {"bfloat16", "int8"}) {
    CHECK(run_well("sdlora generate",
                   {"--model", at.at("base"), "--ids", list, "--max-tokens", "3", "--weights", weights})
              .size() >= 6);
  }
  // The values are others than those that this adapter was trained on.
  run_well("sdlora finetune", at.finetune("bitfit", "tuned"));
  check_fails("sdlora score",
              {"--model", at.at("base"), "--adapter", at.at("tuned"), "--ids", list, "--weights", "bfloat16"},
              {"base_fingerprint"});
  check_fails("sdlora score", {"--model", at.at("base"), "--ids", list, "--weights", "int4"},
              {"--weights: expected float32, bfloat16 or int8, found 'int4'"});
}

TEST_CASE("programs: score says what is wrong") {
  const Workplace at;
  const std::string base = at.at("base");
  check_fails("sdlora score", {"--model", base}, {"--ids"});
  check_fails("sdlora score", {"--model", base, "--ids", "1,2", "--text", "ab"}, {"--text"});
  check_fails("sdlora score", {"--model", base, "--ids", "1"}, {"at least 2 tokens", "found 1"});
  check_fails("sdlora score", {"--model", base, "--text", ""}, {"at least 2 tokens"});
  check_fails("sdlora score", {"--model", base, "--ids", "1,x"}, {"--ids"});
  check_fails("sdlora score", {"--model", base, "--ids", "1,,2"}, {"--ids", "found nothing"});
  check_fails("sdlora score", {"--model", base, "--ids", "1,264"}, {"264"});
  check_fails("sdlora score", {"--model", base, "--ids", "-1,2"}, {"-1"});
  for (const std::string threads : {"-1", "1.5", "0x2", "two", "18446744073709551616"}) {
    check_fails("sdlora score", {"--model", base, "--ids", "1,2", "--threads", threads},
                {"sdlora score: --threads: expected a whole number", threads});
  }
  check_fails("sdlora score", {"--model", base, "--ids", "1,2", "--threads", "1025"},
              {"--threads", "at most 1024"});
  check_fails("sdlora score", {"--model", base, "--file", at.at("absent")}, {at.at("absent")});
  for (const std::string option : {"--model", "--adapter", "--file"}) {
    Arguments empty{"--model", base, "--ids", "1,2"};
    if (option == "--model") empty.erase(empty.begin(), empty.begin() + 2);
    if (option == "--file") empty.resize(2);
    check_fails("sdlora score", with(empty, {option, ""}),
                {option + ": expected a path, found an empty one"});
  }
  check_fails("sdlora score", {"--model", base + "/model.safetensors", "--ids", "1,2"},
              {"base/model.safetensors: expected a directory with config.json", "found a file"});
  check_fails("sdlora score", {"--model", base, "--adapter", base + "/config.json", "--ids", "1,2"},
              {"base/config.json: expected the directory of an adapter, found a file"});
  check_fails("sdlora score", {"--model", at.at("absent"), "--ids", "1,2"}, {at.at("absent")});
  check_fails("sdlora score", {"--model", at.at("ids_base"), "--text", "abc"},
              {"config.json", "byte", "--ids"});
  check_fails("sdlora score", {"--model", base, "--adapter", at.at("absent"), "--ids", "1,2"},
              {at.at("absent/adapter.safetensors")});
  check_fails("sdlora score", {"--model", base, "--adapter", base, "--ids", "1,2"}, {"adapter.safetensors"});
  run_well("sdlora finetune", at.finetune("bitfit", "tuned"));
  check_fails("sdlora score", {"--model", at.at("other_base"), "--adapter", at.at("tuned"), "--ids", "1,2"},
              {at.at("tuned/adapter.safetensors"), "base_fingerprint", "weights differ"});
  check_fails("sdlora score", {"--model", at.at("ids_base"), "--adapter", at.at("tuned"), "--ids", "1,2"},
              {at.at("tuned/adapter.safetensors"), "vocab_size", "37", "264"});
  // A placement for no terminal: the header's JSON holds the adapter's JSON as a string.
  std::string adapter = test::content(at / "tuned/adapter.safetensors");
  const std::size_t name = adapter.find("conv_bias=");
  REQUIRE(name != std::string::npos);
  adapter.replace(name, 10, "\\\\u001b[1m");
  at.write("tuned/adapter.safetensors", adapter);
  check_fails("sdlora score", {"--model", base, "--adapter", at.at("tuned"), "--ids", "1,2"},
              {"placement", "\\x1b[1m", "none of the placements"});
  // The first half of the weights.
  const std::string weights = test::content(at / "base/model.safetensors");
  at.write("base/model.safetensors", weights.substr(0, weights.size() / 2));
  check_fails("sdlora score", {"--model", base, "--ids", "1,2"}, {"base/model.safetensors", "cut short"});
  at.write("base/config.json", "{\"model_type\": \"mamba2\"}");
  check_fails("sdlora score", {"--model", base, "--ids", "1,2"},
              {"base/config.json", "model_type", "mamba2"});
}

TEST_CASE("programs: generate repeats itself by seed, and is the model's likeliest without temperature") {
  const Workplace at;
  const Arguments text{"--model", at.at("base"), "--prompt", "abc", "--max-tokens", "30"};
  const std::string once = run_well("sdlora generate", with(text, {"--seed", "5", "--temperature", "1"}));
  CHECK(once.starts_with("abc"));
  CHECK(once.ends_with("\n"));
  CHECK(once ==
        run_well("sdlora generate", with(text, {"--seed", "5", "--temperature", "1", "--threads", "1"})));
  CHECK(once != run_well("sdlora generate", with(text, {"--seed", "6", "--temperature", "1"})));
  CHECK(run_well("sdlora generate", with(text, {"--temperature", "0"})) ==
        run_well("sdlora generate", with(text, {"--temperature", "1", "--top-k", "1"})));

  const Result greedy =
      run("sdlora generate", with(text, {"--temperature", "0", "--top-k", "3", "--seed", "0"}));
  CHECK(greedy.status == 0);
  CHECK(greedy.err == "without effect at temperature 0: --top-k, --seed\n");
  CHECK(run("sdlora generate", with(text, {"--temperature", "1", "--top-k", "3"})).err.empty());
  CHECK(run("sdlora generate", with(text, {"--temperature", "0"})).err.empty());

  std::istringstream out(run_well("sdlora generate", {"--model", at.at("ids_base"), "--ids", "3,4",
                                                      "--max-tokens", "4", "--temperature", "0"}));
  std::vector<int> ids;
  for (int id = 0; out >> id;) ids.push_back(id);
  REQUIRE(ids.size() == 4);
  // No other first token scores higher.
  const auto last = [&](int id) {
    return score({"--model", at.at("ids_base"), "--ids", "3,4," + std::to_string(id)}).logprobs.back();
  };
  const double best = last(ids[0]);
  for (const int id : {0, 5, 17, 36}) CHECK(last(id) <= best);
}

namespace {

/// The ids that generate prints for --ids 3,4 at a high temperature.
std::vector<int> generated_ids(const std::string& model, const Arguments& more = {}) {
  std::istringstream out(run_well(
      "sdlora generate",
      with({"--model", model, "--ids", "3,4", "--max-tokens", "200", "--temperature", "1000"}, more)));
  std::vector<int> ids;
  for (int id = 0; out >> id;) ids.push_back(id);
  return ids;
}

}  // namespace

TEST_CASE("programs: generation ends at every id that config.json or generation_config.json names") {
  const Workplace at;
  const std::string base = at.at("ids_base");
  const std::vector<int> all = generated_ids(base);
  REQUIRE(all.size() == 200);
  const auto until = [&](const std::vector<int>& stops) {
    return std::vector<int>(all.begin(),
                            std::find_first_of(all.begin(), all.end(), stops.begin(), stops.end()));
  };
  // Late and early ones, so that the second of the list decides.
  const int late = all[50], early = all[7];
  at.set_config("ids_base", "eos_token_id", {late, early});
  CHECK(generated_ids(base) == until({late, early}));
  at.set_config("ids_base", "eos_token_id", nullptr);
  CHECK(generated_ids(base) == all);
  CHECK(generated_ids(base, {"--stop-ids", std::to_string(late) + "," + std::to_string(early)}) ==
        until({late, early}));
  at.write("ids_base/generation_config.json", "{\"eos_token_id\": [" + std::to_string(early) + "]}");
  CHECK(generated_ids(base) == until({early}));
  check_fails("sdlora generate", {"--model", base, "--ids", "3", "--stop-ids", "37"},
              {"--stop-ids: expected ids from 0 to 36, found 37"});
}

TEST_CASE("programs: rows that only pad the vocabulary are never sampled") {
  const Workplace at;
  at.write("ids_base/config.json",
           R"({"d_model": 12, "n_layer": 2, "vocab_size": 5, "pad_vocab_size_multiple": 37,
                                       "ssm_cfg": {}})");
  const std::vector<int> ids = generated_ids(at.at("ids_base"));
  CHECK(*std::max_element(ids.begin(), ids.end()) == 4);
  // A byte-level model has 257 tokens.
  const std::vector<int> bytes = generated_ids(at.at("base"));
  CHECK(*std::max_element(bytes.begin(), bytes.end()) <= 256);
  CHECK(*std::max_element(bytes.begin(), bytes.end()) > 200);
}

TEST_CASE("programs: generation ends at a text") {
  const Workplace at;
  const Arguments text{"--model", at.at("base"), "--prompt", "abc", "--max-tokens", "60"};
  const std::string all = run_well("sdlora generate", text);
  REQUIRE(all.size() > 20);
  const std::string stop = all.substr(12, 2);
  if (stop.find('\\') == std::string::npos && stop[0] != '-' && stop.find('\0') == std::string::npos) {
    const std::string cut = run_well("sdlora generate", with(text, {"--stop=" + stop}));
    CHECK(cut == all.substr(0, all.find(stop, 3)) + "\n");
  }
  CHECK(run_well("sdlora generate", with(text, {"--stop", "no such text in there"})) == all);
  check_fails("sdlora generate", {"--model", at.at("base"), "--ids", "3", "--stop", "a"},
              {"--stop", "--ids"});
}

TEST_CASE("programs: generate says what is wrong, and prints no prompt first") {
  const Workplace at;
  const std::string base = at.at("base");
  check_fails("sdlora generate", {"--model", base}, {"--prompt", "--ids"});
  check_fails("sdlora generate", {"--model", base, "--prompt", ""}, {"--prompt", "found an empty one"});
  check_fails("sdlora generate", {"--model", base, "--prompt", "a", "--adapter", ""},
              {"--adapter", "is a variable"});
  check_fails("sdlora generate", {"--model", base + "/model.safetensors", "--prompt", "a"}, {"found a file"});
  check_fails("sdlora generate", {"--model", base, "--prompt", "a", "--ids", "1"}, {"--ids"});
  check_fails("sdlora generate", {"--model", base, "--ids", "999"}, {"999"});
  check_fails("sdlora generate", {"--model", base, "--prompt", "abc", "--temperature", "-1"},
              {"--temperature: expected"});
  check_fails("sdlora generate", {"--model", base, "--prompt", "abc", "--top-p", "-1"},
              {"--top-p: expected"});
  check_fails("sdlora generate", {"--model", at.at("ids_base"), "--prompt", "abc"}, {"config.json", "byte"});
  check_fails("sdlora generate", {"--model", base, "--prompt", "abc", "--adapter", at.at("absent")},
              {at.at("absent/adapter.safetensors")});
  at.write("base/model.safetensors", "short");
  check_fails("sdlora generate", {"--model", base, "--prompt", "abc"}, {"base/model.safetensors"});
}

TEST_CASE("programs: a full disk is noticed") {
  if (!std::filesystem::exists("/dev/full")) return;
  const Workplace at;
  const Result result = run("sdlora score", {"--model", at.at("base"), "--ids", "1,2"}, "/dev/full");
  CHECK(result.status == 1);
  CHECK(result.err.find("standard output") != std::string::npos);
}
