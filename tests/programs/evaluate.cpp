#include "support.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <sstream>
#include <string>
#include <vector>

using namespace programs;
using nlohmann::json;

namespace {

constexpr int end_of_text = 256;  // of the byte-level tokenizer

std::vector<json> rows_of(const std::filesystem::path& file) {
  std::vector<json> rows;
  std::istringstream lines(test::content(file));
  for (std::string line; std::getline(lines, line);) rows.push_back(json::parse(line));
  return rows;
}

json evaluate(const Arguments& arguments) {
  return json::parse(run_well("sdlora evaluate", with(arguments, {"--json"})));
}

/// Of the completion and the end of text behind a prompt, by `sdlora score`.
std::vector<double> tail_logprobs(const Arguments& model, const std::string& prompt,
                                  const std::string& completion) {
  std::string ids;
  for (const char byte : prompt + completion) ids += std::to_string(static_cast<unsigned char>(byte)) + ",";
  std::vector<double> all = score(with(model, {"--ids", ids + std::to_string(end_of_text)})).logprobs;
  all.erase(all.begin(), all.end() - static_cast<std::ptrdiff_t>(completion.size()) - 1);
  return all;
}

double sum(const std::vector<double>& values) { return std::accumulate(values.begin(), values.end(), 0.0); }

}  // namespace

TEST_CASE("programs: evaluate has the loss that score has, with and without an adapter") {
  const Workplace at;
  run_well("sdlora finetune", at.finetune("lora-all", "tuned"));
  for (const Arguments& model : {Arguments{"--model", at.at("base")},
                                 Arguments{"--model", at.at("base"), "--adapter", at.at("tuned")}}) {
    double expected = 0.0;
    std::size_t tokens = 0;
    std::map<int, double> each;
    for (int i = 0; i < 10; ++i) {
      const std::string completion = std::to_string(i + 1);
      const auto logprobs = tail_logprobs(model, std::to_string(i) + " and one is ", completion);
      expected -= sum(logprobs);
      tokens += logprobs.size();
      each[i + 1] = -sum(logprobs) / static_cast<double>(logprobs.size());
    }
    const json found = evaluate(with(model, {"--data", at.at("train.jsonl")}));
    CHECK(found.size() == 4);
    CHECK(found.at("examples") == 10);
    CHECK(found.at("label_tokens") == tokens);
    const double loss = expected / static_cast<double>(tokens);
    CHECK(found.at("loss").get<double>() == doctest::Approx(loss).epsilon(1e-5));
    CHECK(found.at("perplexity").get<double>() == doctest::Approx(std::exp(loss)).epsilon(1e-4));

    const json again =
        evaluate(with(model, {"--data", at.at("train.jsonl"), "--predictions", at.at("rows.jsonl")}));
    CHECK(again.at("loss").get<double>() == doctest::Approx(loss).epsilon(1e-5));
    const auto rows = rows_of(at / "rows.jsonl");
    REQUIRE(rows.size() == 10);
    for (const json& row : rows) {
      CHECK(row.size() == 3);
      CHECK(row.at("loss").get<double>() == doctest::Approx(each.at(row.at("example"))).epsilon(1e-5));
    }
  }
  const Result shown = run("sdlora evaluate", {"--model", at.at("base"), "--data", at.at("train.jsonl")});
  CHECK(shown.err.find("10 examples") != std::string::npos);
  CHECK(shown.out.starts_with("examples 10\nlabel tokens 21\nloss "));
  CHECK(run("sdlora evaluate", {"--model", at.at("base"), "--data", at.at("train.jsonl"), "--quiet"})
            .err.empty());
}

TEST_CASE("programs: evaluate chooses the candidate that score finds likeliest") {
  const Workplace at;
  const Arguments model{"--model", at.at("base")};
  const auto best = [&](const std::string& prompt, const std::vector<std::string>& candidates,
                        bool per_token) {
    std::string winner;
    double highest = -1e30;
    for (const std::string& each : candidates) {
      const auto logprobs = tail_logprobs(model, prompt, each);
      const double value = sum(logprobs) / (per_token ? static_cast<double>(logprobs.size()) : 1.0);
      if (value > highest) winner = each;
      highest = std::max(highest, value);
    }
    return winner;
  };
  at.write("three.csv", "prompt,completion\nfirst: ,yes\nsecond: ,no\nthird: ,not at all\nfourth: ,no\n");
  const std::vector<std::string> prompts{"first: ", "second: ", "third: ", "fourth: "},
      answers{"yes", "no", "not at all", "no"}, candidates{"yes", "no", "not at all"};
  for (const bool per_token : {false, true}) {
    for (const bool given : {false, true}) {
      CAPTURE(per_token);
      CAPTURE(given);
      Arguments arguments = with(model, {"--data", at.at("three.csv"), "--predictions", at.at("rows.jsonl")});
      arguments =
          with(arguments, given ? Arguments{"--candidates", "no,not at all,yes"} : Arguments{"--accuracy"});
      if (per_token) arguments.push_back("--per-token");
      const json found = evaluate(arguments);
      const auto rows = rows_of(at / "rows.jsonl");
      REQUIRE(rows.size() == 4);
      int right = 0;
      for (std::size_t i = 0; i < rows.size(); ++i) {
        const std::string expected = best(prompts[i], candidates, per_token);
        CHECK(rows[i].at("prompt") == prompts[i]);
        CHECK(rows[i].at("answer") == answers[i]);
        CHECK(rows[i].at("chosen") == expected);
        CHECK(rows[i].at("correct") == (expected == answers[i]));
        right += expected == answers[i] ? 1 : 0;
      }
      CHECK(found.at("candidates") == 3);
      CHECK(found.at("accuracy").get<double>() == doctest::Approx(right / 4.0));
      CHECK(found.at("accuracy_standard_error").get<double>() ==
            doctest::Approx(std::sqrt(right / 4.0 * (1.0 - right / 4.0) / 4.0)));
    }
  }
}

TEST_CASE("programs: evaluate compares what the model writes with the completions") {
  const Workplace at;
  // Ids, of which the second answer is another than the model's.
  const auto continued = [&](const std::string& ids) {
    return json::parse(run_well("sdlora generate",
                                {"--model", at.at("ids_base"), "--ids", ids, "--max-tokens", "3", "--json"}))
        .at("answer_ids")
        .get<std::vector<int>>();
  };
  std::vector<int> one = continued("3,4"), two = continued("5,6,7");
  REQUIRE(one.size() == 3);
  REQUIRE(two.size() == 3);
  two[2] = (two[2] + 1) % 37;
  const auto line = [](std::vector<int> prompt, const std::vector<int>& answer) {
    std::vector<int> labels(prompt.size(), -100);
    labels.insert(labels.end(), answer.begin(), answer.end());
    prompt.insert(prompt.end(), answer.begin(), answer.end());
    return json{{"input_ids", prompt}, {"labels", labels}}.dump() + "\n";
  };
  at.write("ids.jsonl", line({3, 4}, one) + line({5, 6, 7}, two));
  const json found = evaluate({"--model", at.at("ids_base"), "--data", at.at("ids.jsonl"), "--generate",
                               "--max-tokens", "3", "--predictions", at.at("rows.jsonl")});
  CHECK(found.at("exact_match") == 0.5);
  const auto rows = rows_of(at / "rows.jsonl");
  REQUIRE(rows.size() == 2);
  CHECK(rows[0].at("match") == true);
  CHECK(rows[0].at("generated") == one);
  CHECK(rows[0].at("answer") == one);
  CHECK(rows[1].at("match") == false);
  CHECK(rows[1].at("prompt") == json{5, 6, 7});

  // Text, from a model that has learned one answer by heart.
  const std::string prompt = "say it: ";
  at.write("one.jsonl", json{{"prompt", prompt}, {"completion", "xyz"}}.dump() + "\n");
  Arguments training = at.finetune("full", "learned");
  training[3] = at.at("one.jsonl");
  *(std::find(training.begin(), training.end(), "--steps") + 1) = "150";
  run_well("sdlora finetune", training);
  const auto matches = [&](const std::string& completion, const Arguments& more) {
    at.write("text.jsonl", json{{"prompt", prompt}, {"completion", completion}}.dump() + "\n");
    return evaluate(with({"--model", at.at("base"), "--adapter", at.at("learned"), "--data",
                          at.at("text.jsonl"), "--generate", "--predictions", at.at("rows.jsonl")},
                         more))
        .at("exact_match")
        .get<double>();
  };
  CHECK(matches("xyz", {}) == 1.0);
  CHECK(rows_of(at / "rows.jsonl").at(0).at("generated") == "xyz");
  CHECK(matches("xy", {}) == 0.0);
  CHECK(matches("xyzz", {}) == 0.0);
  CHECK(matches("xy", {"--max-tokens", "2"}) == 1.0);
  CHECK(matches("x", {"--stop", "y"}) == 1.0);
  CHECK(rows_of(at / "rows.jsonl").at(0).at("generated") == "x");
  // What stands behind the stop in the data does not count either.
  CHECK(matches("xyq", {"--stop", "y"}) == 1.0);
  CHECK(matches("q", {"--stop", "y"}) == 0.0);
  // Nor does chance: the model without the adapter writes something else.
  CHECK(evaluate({"--model", at.at("base"), "--data", at.at("one.jsonl"), "--generate"}).at("exact_match") ==
        0.0);
}

TEST_CASE("programs: evaluate says what is wrong, and leaves no file") {
  const Workplace at;
  const auto before = names_in(at.path());
  const auto fails = [&](const std::string& data, const Arguments& more,
                         std::initializer_list<std::string> parts) {
    check_fails("sdlora evaluate", with({"--model", at.at("base"), "--data", at.at(data)}, more), parts);
  };
  const Arguments to{"--predictions", at.at("rows.jsonl")};
  check_fails("sdlora evaluate", {"--model", at.at("base")}, {"--data"});
  fails("absent.jsonl", to, {at.at("absent.jsonl"), "no such file"});
  fails("dev.jsonl", with(to, {"--accuracy"}),
        {at.at("dev.jsonl") + ": example 1", "found no prompt", "--accuracy, --candidates and --generate"});
  fails("dev.jsonl", with(to, {"--generate"}), {"example 1", "found no prompt"});
  fails("train.jsonl", with(to, {"--candidates", "1,2,3"}),
        {"--candidates: expected every answer", R"("1", "2", "3", found "4" in example 4;)", "--accuracy"});
  // A space is a part of a candidate: " 1" has other tokens than "1".
  fails("train.jsonl", with(to, {"--candidates", "1, 2"}), {R"(among "1", " 2", found "2" in example 2;)"});
  fails("train.jsonl", with(to, {"--candidates", "1,,3"}), {"--candidates", "empty"});
  fails("train.jsonl", with(to, {"--per-token"}), {"--per-token: expected --accuracy or --candidates"});
  fails("train.jsonl", with(to, {"--max-tokens", "5"}), {"--max-tokens: expected --generate"});
  fails("train.jsonl", with(to, {"--stop", "a"}), {"--stop: expected --generate"});
  fails("train.jsonl", {"--predictions", at.at("train.jsonl")}, {"--predictions is the file of --data"});
  fails("train.jsonl", {"--predictions", at.at("no/such/rows.jsonl")},
        {at.at("no/such/rows.jsonl"), "folder"});
  fails("train.jsonl", {"--predictions", at.at("base")}, {at.at("base"), "regular file"});
  fails("train.jsonl", with(to, {"--format", "xml"}), {"jsonl, csv, tsv or text"});
  fails("train.jsonl", with(to, {"--weights", "int4"}), {"--weights"});
  fails("train.jsonl", with(to, {"--adapter", at.at("absent")}), {at.at("absent"), "no such folder"});
  check_fails("sdlora evaluate",
              {"--model", at.at("ids_base"), "--data", at.at("ids.jsonl"), "--candidates", "a,b"},
              {"--candidates: expected a tokenizer", "config.json"});
  CHECK(names_in(at.path()) == before);
  at.write("turns.jsonl", "{\"input_ids\": [1, 2, 3, 4], \"labels\": [-100, 2, -100, 4]}\n");
  fails("turns.jsonl", {"--generate"}, {"example 1", "several parts to learn"});
}
