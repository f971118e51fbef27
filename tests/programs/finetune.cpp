#include "support.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <thread>
#include <vector>

using namespace programs;

TEST_CASE("programs: every placement trains, scores, generates, and merges or says why not") {
  const Workplace at;
  const Arguments text{"--model", at.at("base"), "--text", "3 and one is 4"};
  const Scores base = score(text);
  for (const std::string placement :
       {"sdlora",        "lora-linear",   "lora-ssm",    "lora-all",     "lora-out", "lora-peft",
        "sdlora-linear", "rslora-linear", "dora-linear", "pissa-linear", "prodial",  "sdt",
        "sdt-dora",      "vera-linear",   "ia3",         "bitfit",       "prompt",   "prefix",
        "initial-state", "state-offset",  "full"}) {
    CAPTURE(placement);
    const std::string out = at.at(placement);
    const Result trained =
        run("sdlora finetune", with(at.finetune(placement, placement), {"--eval", at.at("dev.jsonl")}));
    CAPTURE(trained.err);
    REQUIRE(trained.status == 0);
    CHECK(trained.out.empty());
    CHECK(trained.err.find(placement) != std::string::npos);
    CHECK(trained.err.find("evaluation after step 3") != std::string::npos);
    // All of these runs are given --rank and --prompt-length, which no placement has a use for together.
    const std::size_t note = trained.err.find("without effect under placement " + placement);
    REQUIRE(note != std::string::npos);
    const std::string unused = trained.err.substr(note, trained.err.find('\n', note) - note);
    const bool ranked = placement.find("lora") != std::string::npos ||
                        placement.find("dora") != std::string::npos || placement == "pissa-linear" ||
                        placement == "prodial" || placement == "sdt" || placement == "vera-linear";
    CHECK((unused.find("--rank") == std::string::npos) == ranked);
    CHECK((unused.find("--prompt-length") == std::string::npos) ==
          (placement == "prompt" || placement == "prefix"));
    CHECK(names_in(out) == std::vector<std::string>{"adapter.safetensors", "checkpoint", "metrics.jsonl"});
    const std::vector<std::string> kept = names_in(out + "/checkpoint");
    CHECK(kept == (placement.starts_with("sd")
                       ? std::vector<std::string>{"checkpoint.safetensors", "selection.json"}
                       : std::vector<std::string>{"checkpoint.safetensors"}));

    const Scores adapted = score(with(text, {"--adapter", out}));
    CHECK(largest_difference(base, adapted) > 1e-4);
    const std::string generated = run_well("sdlora generate", {"--model", at.at("base"), "--adapter", out,
                                                               "--prompt", "3 and", "--max-tokens", "5"});
    CHECK(generated.starts_with("3 and"));

    const Arguments merge{"--model", at.at("base"), "--adapter", out, "--out", out + "-merged"};
    if (placement == "prompt" || placement == "prefix" || placement == "initial-state" ||
        placement == "state-offset") {
      check_fails("sdlora merge", merge, {placement, "cannot be merged", "keep it as an adapter"});
      CHECK(!std::filesystem::exists(out + "-merged"));
      continue;
    }
    CHECK(run_well("sdlora merge", merge).empty());
    CHECK(names_in(out + "-merged") == std::vector<std::string>{"config.json", "model.safetensors"});
    const Scores merged = score({"--model", out + "-merged", "--text", "3 and one is 4"});
    CHECK(largest_difference(adapted, merged) < 2e-5);
    // An adapter belongs to its base, not to what it was merged into.
    check_fails("sdlora score", {"--model", out + "-merged", "--adapter", out, "--text", "abc"},
                {"base_fingerprint", "adapter.safetensors"});
  }
}

TEST_CASE(
    "programs: checkpoints of other state sizes, taps and inner widths, with biases and a head of their "
    "own") {
  const Workplace at;
  for (const std::size_t states : {std::size_t{8}, std::size_t{32}}) {
    CAPTURE(states);
    const std::string folder = at.at("base_" + std::to_string(states));
    const bool eight = states == 8;
    auto other = sdlora::Base<sdlora::presets::AnyMamba>::random({.d_model = 16,
                                                                  .n_layer = 2,
                                                                  .vocab_size = 264,
                                                                  .dt_rank = 3,
                                                                  .d_inner = 29,
                                                                  .d_state = states,
                                                                  .d_conv = eight ? 2U : 3U,
                                                                  .tied_head = eight,
                                                                  .use_bias = eight},
                                                                 5);
    // Values that matter, so that differences show.
    const auto embedding = other.embedding();
    for (std::size_t i = 0; i < embedding.rows * embedding.cols; ++i) embedding.data[i] *= 20.0F;
    for (std::size_t i = 0; eight && i < 16; ++i) other.layer(1).out_proj_bias(0, i) = 0.1F;
    other.finish();
    sdlora::save_base(other, folder, {.tokenizer = "byte"});
    const Arguments text{"--model", folder, "--text", "3 and one is 4"};
    for (const std::string placement : {"sdlora", "full"}) {
      CAPTURE(placement);
      const std::string out = folder + "-" + placement;
      Arguments arguments = at.finetune(placement, placement);
      arguments[1] = folder;
      arguments[5] = out;
      CHECK(run_well("sdlora finetune", arguments).empty());
      const Scores adapted = score(with(text, {"--adapter", out}));
      CHECK(largest_difference(score(text), adapted) > 1e-4);
      run_well("sdlora merge", {"--model", folder, "--adapter", out, "--out", out + "-merged"});
      CHECK(largest_difference(adapted, score({"--model", out + "-merged", "--text", "3 and one is 4"})) <
            2e-5);
    }
    CHECK(run_well("sdlora generate", {"--model", folder, "--prompt", "3 and", "--max-tokens", "5"})
              .starts_with("3 and"));
  }
}

TEST_CASE("programs: finetune on token ids, on a checkpoint whose tokens are not bytes") {
  const Workplace at;
  const Arguments arguments{"--model", at.at("ids_base"), "--data",       at.at("ids.jsonl"), "--placement",
                            "bitfit",  "--out",           at.at("tuned"), "--epochs",         "2"};
  CHECK(run_well("sdlora finetune", arguments).empty());
  const Arguments ids{"--model", at.at("ids_base"), "--ids", "1,5,6,7"};
  CHECK(largest_difference(score(ids), score(with(ids, {"--adapter", at.at("tuned")}))) > 1e-5);
  const std::string log = test::content(at / "tuned/metrics.jsonl");
  CHECK(std::count(log.begin(), log.end(), '\n') == 6);  // 10 examples in batches of 4, twice
}

TEST_CASE("programs: finetune refuses to begin over an earlier run, and leaves it as it was") {
  const Workplace at;
  run_well("sdlora finetune", at.finetune("sdlora", "out"));
  const std::string selection = test::content(at / "out/checkpoint/selection.json");
  Arguments again = with(at.finetune("sdlora", "out"), {"--seed", "7"});
  check_fails("sdlora finetune", again, {"checkpoint.safetensors", "--resume"});
  CHECK(test::content(at / "out/checkpoint/selection.json") == selection);
  // Resuming with other settings is no resuming.
  const Result other = run("sdlora finetune", with(again, {"--resume"}));
  CHECK(other.status == 1);
  CHECK(other.err.find("seed") != std::string::npos);
}

TEST_CASE("programs: finetune keeps out of a model's folder and of a finished adapter's") {
  const Workplace at;
  const std::string config = test::content(at / "base/config.json");
  check_fails("sdlora finetune", at.finetune("bitfit", "base"),
              {at.at("base"), "holds a model", "choose another --out"});
  CHECK(names_in(at / "base") == std::vector<std::string>{"config.json", "model.safetensors"});
  run_well("sdlora finetune", at.finetune("bitfit", "out"));
  const std::string adapter = test::content(at / "out/adapter.safetensors");
  std::filesystem::remove_all(at / "out/checkpoint");
  const Arguments other = with(at.finetune("bitfit", "out"), {"--seed", "7"});
  check_fails("sdlora finetune", other,
              {"out/adapter.safetensors", "adapter of an earlier run", "remove it"});
  const Result resumed = run("sdlora finetune", with(other, {"--resume"}));
  CHECK(resumed.status == 1);
  CHECK(resumed.err.find("adapter of an earlier run") != std::string::npos);
  CHECK(test::content(at / "out/adapter.safetensors") == adapter);
  CHECK(!std::filesystem::exists(at / "out/checkpoint"));
}

TEST_CASE("programs: finetune says where it begins and, interrupted, how to go on") {
  const Workplace at;
  const Arguments arguments = with(at.finetune("bitfit", "out"), {"--resume"});
  const std::string begins = "no checkpoint in " + at.at("out/checkpoint") + ": begins at step 1\n";
  CHECK(run("sdlora finetune", arguments).err.find(begins) != std::string::npos);
  const Result again = run("sdlora finetune", arguments);
  CHECK(again.status == 0);
  CHECK(again.err.find("begins at step 1") == std::string::npos);
  CHECK(again.err.find("resumed after step 3") != std::string::npos);

  Arguments endless = with(at.finetune("bitfit", "long"), {"--checkpoint-every", "1"});
  *(std::find(endless.begin(), endless.end(), "--steps") + 1) = "1000000";
  const test::Folder folder;
  Running running("sdlora finetune", endless, folder);
  for (int wait = 0; wait < 3000 && !std::filesystem::exists(at / "long/checkpoint/checkpoint.safetensors");
       ++wait)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  // Of two runs into one folder the second is refused, and the first goes on.
  for (const char* resume : {"", "--resume"}) {
    const std::string metrics = test::content(at / "long/metrics.jsonl");
    const Result second = run("sdlora finetune", *resume == 0 ? endless : with(endless, {resume}));
    CHECK(second.status == 1);
    if (*resume != 0) {
      CHECK(second.err.find(at.at("long") + ": another run writes into this folder (process ") !=
            std::string::npos);
    }
    CHECK(test::content(at / "long/metrics.jsonl").starts_with(metrics));
  }
  const Result result = running.interrupt();
  CHECK(result.status == -1);
  CHECK(result.err.find("the same command with --resume goes on from the last checkpoint") !=
        std::string::npos);
}

TEST_CASE("programs: finetune does not go on from a selection of another base, data or settings") {
  const Workplace at;
  const Arguments arguments = with(at.finetune("sdlora", "out"), {"--resume"});
  run_well("sdlora finetune", arguments);
  // As a run that was killed between its two phases leaves it.
  std::filesystem::remove(at / "out/checkpoint/checkpoint.safetensors");
  std::filesystem::remove(at / "out/adapter.safetensors");
  const std::string selection = test::content(at / "out/checkpoint/selection.json");
  const auto refused = [&](const std::string& option, const std::string& value, const std::string& field) {
    Arguments other = arguments;
    for (std::size_t i = 0; i + 1 < other.size(); ++i) {
      if (other[i] == option) other[i + 1] = value;
    }
    CAPTURE(option);
    const Result result = run("sdlora finetune", other);
    CHECK(result.status == 1);
    for (const std::string& part : {at.at("out/checkpoint/selection.json"), "field run." + field,
                                    std::string("of a run with " + field), std::string("resume with")}) {
      CAPTURE(part);
      CHECK(result.err.find(part) != std::string::npos);
    }
    CHECK(test::content(at / "out/checkpoint/selection.json") == selection);
    CHECK(!std::filesystem::exists(at / "out/adapter.safetensors"));
  };
  at.write("other.jsonl", "{\"text\": \"other\"}\n");
  refused("--model", at.at("other_base"), "base");
  refused("--data", at.at("other.jsonl"), "data");
  refused("--selection-steps", "1", "steps");
  const Result score = run("sdlora finetune", with(arguments, {"--selection-score", "gain"}));
  CHECK(score.status == 1);
  CHECK(score.err.find("field run.criterion") != std::string::npos);
  refused("--rank", "3", "rank");
  run_well("sdlora finetune", arguments);
  CHECK(test::content(at / "out/checkpoint/selection.json") == selection);
  CHECK(std::filesystem::exists(at / "out/adapter.safetensors"));
}

TEST_CASE("programs: finetune ranks dimensions by the score that it is given") {
  const Workplace at;
  std::set<std::string> selections;
  for (const std::string score : {"change", "gradient", "gain", "ablation"}) {
    run_well("sdlora finetune", with(at.finetune("sdlora", score), {"--selection-score", score}));
    const nlohmann::json file =
        nlohmann::json::parse(test::content(at / (score + "/checkpoint/selection.json")));
    CHECK(file.at("run").contains("criterion") == (score != "change"));
    selections.insert(file.at("selection").dump());
  }
  CHECK(selections.size() > 1);
  const Result unused =
      run("sdlora finetune", with(at.finetune("lora-linear", "none"), {"--selection-score", "gain"}));
  CHECK(unused.status == 0);
  CHECK(unused.err.find("--selection-score") != std::string::npos);
}

TEST_CASE("programs: finetune says what is wrong") {
  const Workplace at;
  const auto fails = [&](const Arguments& more, std::initializer_list<std::string> parts) {
    check_fails("sdlora finetune", more, parts);
    CHECK(!std::filesystem::exists(at / "out/adapter.safetensors"));
  };
  const auto changed = [&](const std::string& option, const std::string& value) {
    Arguments arguments = at.finetune("lora-linear", "out");
    for (std::size_t i = 0; i + 1 < arguments.size(); i += 2) {
      if (arguments[i] == option) {
        arguments[i + 1] = value;
        return arguments;
      }
    }
    return with(arguments, {option, value});
  };
  fails({}, {"--model"});
  fails({"--model", at.at("base")}, {"required"});
  fails(changed("--nonsense", "1"), {"--nonsense"});
  fails(changed("--rank", "0"), {"--rank", "at least 1"});
  fails(changed("--out", ""), {"--out: expected a path, found an empty one; is a variable unset?"});
  fails(changed("--eval", ""), {"--eval: expected a path, found an empty one"});
  fails(changed("--out", std::string(300, 'x')), {"File name too long", "choose another"});
  fails(changed("--rank", "-2"), {"--rank"});
  fails(changed("--rank", "two"), {"--rank"});
  fails(changed("--steps", "0"), {"--steps"});
  fails(changed("--epochs", "2"), {"--epochs", "--steps"});
  fails(changed("--batch-size", "-1"), {"--batch-size"});
  fails(changed("--placement", "lora"), {"placement 'lora'", "one of prompt", "lora-linear", "sdlora"});
  fails(changed("--placement", "frozen"), {"trains nothing"});
  fails(changed("--model", at.at("absent")), {at.at("absent")});
  fails(changed("--model", at.at("train.jsonl")), {"train.jsonl", "expected a directory", "found a file"});
  fails(changed("--data", at.at("absent.jsonl")), {"absent.jsonl"});
  fails(changed("--eval", at.at("absent.jsonl")), {"absent.jsonl"});
  at.write("bad.jsonl", "{\"text\": \"good\"}\n\n{\"text\": \"good\"\n");
  fails(changed("--data", at.at("bad.jsonl")), {"bad.jsonl", "line 3"});
  at.write("fields.jsonl", "{\"text\": \"good\"}\n{\"txt\": \"good\"}\n");
  fails(changed("--data", at.at("fields.jsonl")), {"fields.jsonl", "line 2"});
  at.write("utf8.jsonl", "{\"text\": \"\xff\"}\n");
  fails(changed("--data", at.at("utf8.jsonl")), {"utf8.jsonl", "line 1"});
  at.write("empty.jsonl", "");
  fails(changed("--data", at.at("empty.jsonl")), {"empty.jsonl"});
  at.write("ids_out.jsonl", "{\"input_ids\": [264, 1], \"labels\": [0, 1]}\n");
  fails(changed("--data", at.at("ids_out.jsonl")), {"ids_out.jsonl", "line 1", "264"});
  // Text on a checkpoint whose tokens are not bytes.
  fails(changed("--model", at.at("ids_base")), {"train.jsonl", "input_ids"});
}

TEST_CASE("programs: finetune says which option makes no sense before it trains") {
  const Workplace at;
  const auto fails = [&](const std::string& placement, const Arguments& more, const std::string& part) {
    CAPTURE(part);
    // In the place of the value that is there already: an option may be given once.
    Arguments arguments = at.finetune(placement, "out");
    const auto given = std::find(arguments.begin(), arguments.end(), more[0]);
    if (given != arguments.end()) arguments.erase(given, given + 2);
    const Result result = run("sdlora finetune", with(arguments, more));
    CAPTURE(result.err);
    CHECK(result.status > 0);
    CHECK(result.status < 126);
    CHECK(result.out.empty());
    CHECK(result.err.find(part) != std::string::npos);
    CHECK(!std::filesystem::exists(at / "out/adapter.safetensors"));
    // No empty folders either.
    CHECK(!std::filesystem::exists(at / "out"));
  };
  fails("lora-linear", {"--dropout", "1"}, "dropout");
  fails("lora-linear", {"--learning-rate", "0"}, "learning rate above 0");
  fails("sdlora", {"--learning-rate", "0"}, "learning rate above 0");
  fails("lora-linear", {"--weight-decay", "-1"}, "decay");
  fails("lora-linear", {"--clip", "-1"}, "clipping");
  fails("lora-linear", {"--accumulation", "0"}, "accumulation");
  fails("sdlora", {"--channels", "25"}, "25 of 24 channels");
  fails("sdlora", {"--states", "17"}, "17 of 16 states");
  fails("sdlora", {"--states", "0"}, "--states: expected a number of at least 1, found 0");
  fails("sdlora", {"--selection-score", "weight"},
        "--selection-score: selection score: expected one of change, decay, magnitude, gradient");
  fails("sdlora", {"--selection-epochs", "1"}, "--selection-epochs");  // beside --selection-steps
  fails("sdlora", {"--selection-steps", "0"}, "--selection-steps: expected a number of at least 1, found 0");
  at.write("file", "");
  fails("lora-linear", {"--eval", at.at("dev.jsonl"), "--max-length", "1"}, "1");
}

TEST_CASE("programs: finetune says that its files cannot be written before it trains") {
  const Workplace at;
  at.write("file", "kept");
  std::filesystem::create_directories(at / "taken/adapter.safetensors");
  for (const std::string placement : {"sdlora", "bitfit"}) {
    for (const std::string out : {"file", "file/below", "taken"}) {
      CAPTURE(placement);
      CAPTURE(out);
      const Result result = run("sdlora finetune", at.finetune(placement, out));
      CAPTURE(result.err);
      CHECK(result.status == 1);
      CHECK(result.err.find(at.at(out)) != std::string::npos);
      CHECK(result.err.find("selection ") == std::string::npos);
      CHECK(result.err.find("training") == std::string::npos);
    }
  }
  CHECK(test::content(at / "file") == "kept");
}
