#include "support.hpp"

#include <sdlora/io/peft_config.hpp>

#include <doctest/doctest.h>

#include <string>

using namespace sdlora;
using test::check_error;

namespace {

PeftConfig read(const std::string& fields) {
  const test::Folder folder;
  folder.write("adapter_config.json",
               "{\"peft_type\": \"LORA\", \"r\": 4, \"lora_alpha\": 10" + fields + "}");
  return read_peft_config(folder.path());
}

void check_refused(const std::string& fields, std::initializer_list<std::string> parts) {
  CAPTURE(fields);
  check_error<FileError>([&] { read(fields); }, {"adapter_config.json"});
  check_error<FileError>([&] { read(fields); }, parts);
}

}  // namespace

TEST_CASE("peft config: ranks, alphas and scales of modules") {
  const PeftConfig c = read(R"(, "rank_pattern": {"in_proj": 8, "layers.1.mixer.x_proj": 2},
                              "alpha_pattern": {"^backbone.norm": 3, "x_proj": 7}, "target_modules": ["in_proj"],
                              "lora_dropout": 0.25, "modules_to_save": ["norm_f"], "base_model_name_or_path": "small")");
  CHECK(c.rank_of("backbone.layers.0.mixer.in_proj") == 8);
  CHECK(c.rank_of("backbone.layers.0.mixer.xin_proj") == 4);  // only whole names
  CHECK(c.rank_of("in_proj") == 8);
  CHECK(c.rank_of("backbone.layers.1.mixer.x_proj") == 2);
  CHECK(c.rank_of("backbone.layers.11.mixer.x_proj") == 4);
  CHECK(c.alpha_of("backbone.layers.1.mixer.x_proj") == 7.0);
  CHECK(c.alpha_of("backbone.norm") == 3.0);
  CHECK(c.alpha_of("more.backbone.norm") == 10.0);
  CHECK(c.scale_of("backbone.layers.1.mixer.x_proj") == 3.5);
  CHECK(c.scale_of("backbone.layers.0.mixer.out_proj") == 2.5);
  CHECK(c.dropout == 0.25);
  CHECK(c.modules_to_save == std::vector<std::string>{"norm_f"});
  CHECK(c.base_model == "small");
  CHECK(read(", \"use_rslora\": true").scale_of("in_proj") == 5.0);
  CHECK(read(", \"rank_pattern\": {\"x\\\\.in_proj\": 2}").rank_of("x.in_proj") == 2);
  CHECK(read(", \"rank_pattern\": {\"x\\\\.in_proj\": 2}").rank_of("xyin_proj") == 4);
}

TEST_CASE("peft config: fields that change nothing are passed over") {
  const PeftConfig c = read(R"(, "bias": "none", "fan_in_fan_out": true, "init_lora_weights": "gaussian",
                              "target_modules": ".*in_proj", "qalora_group_size": 16, "tomorrows": null, "flag": false,
                              "list": [], "inference_mode": true, "use_dora": true)");
  CHECK(c.target_modules.empty());
  CHECK(c.dora);
}

TEST_CASE("peft config: what does more than LoRA is refused by name") {
  check_refused(", \"bias\": \"lora_only\"", {"field bias", "\"none\"", "merge_and_unload"});
  check_refused(", \"init_lora_weights\": \"pissa\"", {"field init_lora_weights", "path_initial_model"});
  check_refused(", \"layer_replication\": [[0, 2]]",
                {"field layer_replication", "not known here", "--model"});
  check_refused(", \"alora_invocation_tokens\": [3]", {"field alora_invocation_tokens"});
  check_refused(", \"tomorrows\": {\"a\": 1}", {"field tomorrows"});
  check_refused(", \"rank_pattern\": {\".*_proj\": 2}", {"rank_pattern", "write the expression out"});
  check_refused(", \"rank_pattern\": {\"a\\\\\": 2}", {"write the expression out"});
  check_refused(", \"rank_pattern\": {\"in_proj\": 0}", {"rank_pattern", "from 1 to 1048576", "found 0"});
  check_refused(", \"lora_dropout\": 1", {"field lora_dropout", "below 1"});
  check_error<FileError>(
      [] {
        const test::Folder folder;
        folder.write("adapter_config.json", R"({"peft_type": "IA3", "r": 4})");
        read_peft_config(folder.path());
      },
      {"field peft_type", "\"IA3\"", "merge_and_unload"});
  for (const char* r : {"0", "2.5", "1e9", "\"8\"", "-1"}) {
    CAPTURE(r);
    const test::Folder folder;
    folder.write("adapter_config.json", std::string("{\"peft_type\": \"LORA\", \"r\": ") + r + "}");
    check_error<FileError>([&] { read_peft_config(folder.path()); }, {"field r"});
  }
  check_error<FileError>([] { read_peft_config("no-such-folder"); }, {"no-such-folder/adapter_config.json"});
}

TEST_CASE("peft config: two patterns for one module must agree") {
  const PeftConfig c =
      read(R"(, "rank_pattern": {"in_proj": 2, "mixer.in_proj": 3, "x_proj": 5, "mixer.x_proj": 5})");
  CHECK(c.rank_of("a.mixer.x_proj") == 5);
  check_error<FileError>([&] { (void)c.rank_of("a.mixer.in_proj"); },
                         {"field rank_pattern", "\"a.mixer.in_proj\"", "name the module once"});
}

TEST_CASE("peft config: a directory is peft's by its configuration") {
  const test::Folder folder;
  CHECK(!is_peft_adapter(folder.path()));
  folder.write("adapter_config.json", "{}");
  CHECK(is_peft_adapter(folder.path()));
}
