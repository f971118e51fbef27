#include <random>
#include <sdlora/io/atomic_file.hpp>
#include <sdlora/io/model_config.hpp>
#include <string>

#include "support.hpp"

using namespace sdlora;
using test::check_error;

namespace {

CheckpointConfig parse(const std::string& text) {
  return parse_checkpoint_config(parse_json(text, {.file = "config.json"}), "config.json");
}

/// A config.json of the Hugging Face style with further (or other) fields.
std::string hugging_face(const std::string& more = "") {
  return R"({"model_type":"mamba","hidden_size":768,"num_hidden_layers":24,"vocab_size":50280)" +
         (more.empty() ? "" : "," + more) + "}";
}

std::string original(const std::string& more = "") {
  return R"({"d_model":768,"n_layer":24,"vocab_size":50277)" + (more.empty() ? "" : "," + more) + "}";
}

std::string falcon(const std::string& more = "") {
  return R"({"model_type":"falcon_mamba","hidden_size":4096,"num_hidden_layers":64,"vocab_size":65024,)"
         R"("expand":16,"intermediate_size":8192,"state_size":16,"tie_word_embeddings":false,"eos_token_id":11)" +
         (more.empty() ? "" : "," + more) + "}";
}

void check_refused(const std::string& text, std::initializer_list<std::string> parts) {
  INFO(text);
  check_error<FileError>([&] { parse(text); }, {"config.json"});
  check_error<FileError>([&] { parse(text); }, parts);
}

void check_unsupported(const std::string& text, std::initializer_list<std::string> parts) {
  INFO(text);
  CheckpointConfig config;
  CHECK_NOTHROW(config = parse(text));
  check_error<FileError>([&] { require_supported(config); }, {"config.json"});
  check_error<FileError>([&] { require_supported(config); }, parts);
}

}  // namespace

TEST_CASE("the original style, as published for mamba-130m") {
  const auto config =
      parse(R"({"d_model": 768, "n_layer": 24, "vocab_size": 50277, "ssm_cfg": {}, "rms_norm": true,
                               "residual_in_fp32": true, "fused_add_norm": true, "pad_vocab_size_multiple": 8})");
  CHECK(config.d_model == 768);
  CHECK(config.n_layer == 24);
  CHECK(config.vocab_size == 50280);  // padded
  CHECK(config.dt_rank == 48);
  CHECK(config.d_state == 16);
  CHECK(config.d_conv == 4);
  CHECK(config.expand == 2);
  CHECK(config.d_inner() == 1536);
  CHECK(config.norm_epsilon == 1e-5);
  CHECK(config.tie_embeddings);
  CHECK(config.key_style == KeyStyle::Original);
  CHECK_FALSE(config.tokenizer);
  CHECK_FALSE(config.end_of_text);
  CHECK(config.path == "config.json");
  CHECK_NOTHROW(require_supported(config));

  CHECK(parse(original()).vocab_size == 50280);  // a multiple of 8 unless said otherwise
  CHECK(parse(original(R"("pad_vocab_size_multiple":1)")).vocab_size == 50277);
  CHECK(parse(original(R"("pad_vocab_size_multiple":64)")).vocab_size == 50304);
  const auto other = parse(
      R"({"d_model":100,"n_layer":3,"vocab_size":8,"tie_embeddings":false,"rms_norm":false,)"
      R"("ssm_cfg":{"layer":"Mamba1","d_state":8,"d_conv":3,"expand":3,"dt_rank":5,"bias":true,"conv_bias":false,)"
      R"("dt_min":0.001,"dt_init":"random"}})");
  CHECK(other.d_state == 8);
  CHECK(other.d_conv == 3);
  CHECK(other.expand == 3);
  CHECK(other.dt_rank == 5);
  CHECK(other.use_bias);
  CHECK_FALSE(other.use_conv_bias);
  CHECK_FALSE(other.rms_norm);
  CHECK_FALSE(other.tie_embeddings);
}

TEST_CASE("the Hugging Face style") {
  const auto config = parse(hugging_face(
      R"("state_size":16,"expand":2,"conv_kernel":4,"time_step_rank":"auto","intermediate_size":1536,)"
      R"("layer_norm_epsilon":1e-06,"use_bias":false,"use_conv_bias":true,"hidden_act":"silu","bos_token_id":0,)"
      R"("eos_token_id":0,"tie_word_embeddings":true,"torch_dtype":"float32","pad_vocab_size_multiple":64)"));
  CHECK(config.d_model == 768);
  CHECK(config.n_layer == 24);
  CHECK(config.vocab_size == 50280);  // transformers does not pad it
  CHECK(config.dt_rank == 48);
  CHECK(config.norm_epsilon == 1e-6);
  CHECK(config.key_style == KeyStyle::HuggingFace);
  CHECK(config.end_of_text == 0);
  CHECK_NOTHROW(require_supported(config));

  CHECK(parse(hugging_face()).dt_rank == 48);
  CHECK(parse(hugging_face(R"("time_step_rank":7)")).dt_rank == 7);
  CHECK(parse(hugging_face(R"("time_step_rank":null,"quantization_config":null)")).dt_rank == 48);
  CHECK(parse(hugging_face(R"("hidden_act":"swish")")).hidden_act == "silu");
  CHECK(parse(R"({"hidden_size":17,"n_layer":3,"vocab_size":5})").n_layer == 3);
  CHECK(parse(R"({"hidden_size":17,"n_layer":3,"vocab_size":5})").dt_rank == 2);
  CHECK_FALSE(parse(hugging_face(R"("eos_token_id":-1)")).end_of_text);
  CHECK(parse(hugging_face(R"("tokenizer":"byte")")).tokenizer == "byte");
}

TEST_CASE("both styles in one file, as state-spaces/mamba-130m-hf has them") {
  const auto config = parse(hugging_face(
      R"("d_model":768,"n_layer":24,"d_inner":1536,"intermediate_size":1536,"ssm_cfg":{},"rms_norm":true,)"
      R"("fused_add_norm":true,"pad_vocab_size_multiple":8,"time_step_rank":48)"));
  CHECK(config.key_style == KeyStyle::HuggingFace);
  CHECK(config.d_model == 768);
  // Sizes of the other style beside Hugging Face's are stale in files that are in use: not read there either.
  const auto stale = parse(hugging_face(R"("d_model":2048,"n_layer":48,"d_inner":160)"));
  CHECK(stale.d_model == 768);
  CHECK(stale.n_layer == 24);
  CHECK(stale.d_inner() == 1536);
  CHECK(stale.dt_rank == 48);
  // And so is everything else of which Hugging Face's own name says something.
  const auto mixed = parse(hugging_face(
      R"("state_size":16,"conv_kernel":4,"expand":2,"time_step_rank":48,"use_bias":false,"use_conv_bias":true,)"
      R"("tie_word_embeddings":true,"layer_norm_epsilon":1e-5,"norm_epsilon":1e-6,"tie_embeddings":false,)"
      R"("ssm_cfg":{"d_state":8,"d_conv":3,"expand":3,"dt_rank":47,"bias":true,"conv_bias":false})"));
  CHECK(mixed.d_state == 16);
  CHECK(mixed.d_conv == 4);
  CHECK(mixed.d_inner() == 1536);
  CHECK(mixed.dt_rank == 48);
  CHECK_FALSE(mixed.use_bias);
  CHECK(mixed.use_conv_bias);
  CHECK(mixed.tie_embeddings);
  CHECK(mixed.norm_epsilon == 1e-5);
  CHECK_NOTHROW(require_supported(mixed));
  // The original style has its own names, too.
  const auto original_style = parse(
      original(R"("state_size":8,"norm_epsilon":1e-6,"layer_norm_epsilon":1e-4,"ssm_cfg":{"d_state":16})"));
  CHECK(original_style.d_state == 16);
  CHECK(original_style.norm_epsilon == 1e-6);
}

TEST_CASE("sizes are said under the names of the file's style, or left to the weights") {
  const auto quiet = parse(hugging_face(R"("expand":16,"time_step_rank":"auto","ssm_cfg":{"d_state":8})"));
  CHECK_FALSE(quiet.says_d_inner);
  CHECK_FALSE(quiet.says_dt_rank);
  CHECK_FALSE(quiet.says_d_state);
  CHECK_FALSE(quiet.says_d_conv);
  const auto loud =
      parse(hugging_face(R"("intermediate_size":8,"time_step_rank":3,"state_size":8,"conv_kernel":3)"));
  CHECK(loud.says_d_inner);
  CHECK(loud.says_dt_rank);
  CHECK(loud.says_d_state);
  CHECK(loud.says_d_conv);
  const auto first = parse(original(R"("ssm_cfg":{"d_state":8,"d_conv":3,"expand":1,"dt_rank":3})"));
  CHECK(first.says_d_inner);
  CHECK(first.says_dt_rank);
  CHECK(first.says_d_state);
  CHECK(first.says_d_conv);
}

TEST_CASE("a text ends with any of the ids under eos_token_id") {
  using Ids = std::vector<std::int32_t>;
  const auto stops = [](const std::string& value) {
    return parse(hugging_face(R"("eos_token_id":)" + value)).stop_tokens;
  };
  CHECK(stops("[20, 2]") == Ids{20, 2});
  CHECK(parse(hugging_face(R"("eos_token_id":[20,2])")).end_of_text == 20);
  CHECK(stops("7") == Ids{7});
  for (const char* none : {"null", "-1", "[]", "[-1]"}) {
    CAPTURE(none);
    CHECK(stops(none).empty());
    CHECK_FALSE(parse(hugging_face(R"("eos_token_id":)" + std::string(none))).end_of_text);
  }
  check_refused(hugging_face(R"("eos_token_id":[0,50280])"), {"field eos_token_id", "found 50280"});
  check_refused(hugging_face(R"("eos_token_id":[0,"x"])"), {"field eos_token_id[1]", "an integer"});

  // generation_config.json decides, where it says anything.
  const test::Folder folder;
  folder.write("config.json", hugging_face(R"("eos_token_id":2)"));
  const auto with = [&](const std::string& text) {
    folder.write("generation_config.json", text);
    return read_checkpoint_config(folder.path());
  };
  CHECK(with(R"({"eos_token_id": [20, 0], "max_length": 20})").stop_tokens == Ids{20, 0});
  CHECK(with(R"({"eos_token_id": [20, 0]})").end_of_text == 2);
  CHECK(with(R"({"eos_token_id": null, "temperature": Infinity})").stop_tokens == Ids{2});
  CHECK(with("{}").stop_tokens == Ids{2});
  check_error<FileError>([&] { with(R"({"eos_token_id": 50280})"); },
                         {"generation_config.json", "field eos_token_id", "50280"});
  folder.write("config.json", hugging_face());
  CHECK(with(R"({"eos_token_id": [20, 0]})").end_of_text == 20);
}

TEST_CASE("token ids are kept as the file has them") {
  const test::Folder folder;
  for (const std::string eos : {"[20,2]", "0", "null", "[20]"}) {
    CAPTURE(eos);
    auto config = parse(hugging_face(R"("bos_token_id":1,"pad_token_id":3,"eos_token_id":)" + eos));
    folder.write("config.json", checkpoint_config_text(config));
    const auto document = read_json(folder / "config.json");
    CHECK(document["bos_token_id"] == 1);
    CHECK(document["pad_token_id"] == 3);
    CHECK(document["eos_token_id"] == nlohmann::json::parse(eos));
  }
  folder.write("config.json", checkpoint_config_text(parse(hugging_face())));
  const auto document = read_json(folder / "config.json");
  for (const char* key : {"bos_token_id", "pad_token_id", "eos_token_id"})
    CHECK_FALSE(document.contains(key));
}

TEST_CASE("rows that only pad the vocabulary are known as such") {
  const auto config = parse(R"({"d_model":8,"n_layer":1,"vocab_size":5})");
  CHECK(config.vocab_size == 8);
  CHECK(config.unpadded_vocab_size == 5);
  CHECK(parse(hugging_face()).unpadded_vocab_size == 0);  // not said
  const test::Folder folder;
  folder.write("config.json", checkpoint_config_text(config));
  CHECK(read_checkpoint_config(folder.path()).vocab_size == 8);
  CHECK(read_checkpoint_config(folder.path()).unpadded_vocab_size == 5);
  CHECK(parse(hugging_face(R"("unpadded_vocab_size":99999)")).unpadded_vocab_size == 50280);
}

TEST_CASE("sizes that contradict each other") {
  check_refused(original(R"("d_inner":768)"), {"field d_inner", "1536"});
  check_refused(hugging_face(R"("eos_token_id":50280)"), {"field eos_token_id", "50280"});
}

TEST_CASE("missing fields, other types and sizes out of range") {
  check_refused("{}", {"hidden_size", "d_model"});
  check_refused("[]", {"an object", "found array"});
  check_refused(R"({"hidden_size":8,"vocab_size":8})", {"field num_hidden_layers", "missing"});
  check_refused(R"({"d_model":8,"vocab_size":8})", {"field n_layer", "missing"});
  check_refused(R"({"d_model":8,"n_layer":8})", {"field vocab_size", "missing"});
  for (const std::string& key :
       {std::string("hidden_size"), std::string("num_hidden_layers"), std::string("vocab_size"),
        std::string("state_size"), std::string("conv_kernel"), std::string("expand"),
        std::string("intermediate_size"), std::string("time_step_rank")}) {
    for (const char* value : {"0", "-1", "2.5", "\"8\"", "true", "[8]", "{}", "16777217",
                              "9223372036854775808", "18446744073709551615", "18446744073709551616", "1e3"}) {
      std::string text =
          R"({"hidden_size":8,"num_hidden_layers":2,"vocab_size":8,"state_size":16,"conv_kernel":4,)"
          R"("expand":2,"intermediate_size":16,"time_step_rank":1})";
      const auto at = text.find(':', text.find('"' + key + '"')) + 1;
      text.replace(at, text.find_first_of(",}", at) - at, value);
      check_refused(text, {"field " + key});
    }
  }
  check_refused(R"({"d_model":8,"n_layer":1,"vocab_size":16777216,"pad_vocab_size_multiple":16777215})",
                {"vocab_size"});
  check_refused(R"({"d_model":8,"n_layer":1,"vocab_size":8,"pad_vocab_size_multiple":0})",
                {"pad_vocab_size_multiple"});
  check_refused(hugging_face(R"("time_step_rank":"automatic")"), {"field time_step_rank", "\"automatic\""});
  check_refused(hugging_face(R"("layer_norm_epsilon":0)"), {"field layer_norm_epsilon"});
  check_refused(hugging_face(R"("layer_norm_epsilon":-1e-5)"), {"field layer_norm_epsilon"});
  check_refused(hugging_face(R"("layer_norm_epsilon":"1e-5")"), {"field layer_norm_epsilon", "a number"});
  check_refused(hugging_face(R"("use_bias":0)"), {"field use_bias", "true or false"});
  check_refused(hugging_face(R"("hidden_act":1)"), {"field hidden_act", "a string"});
  check_refused(hugging_face(R"("tokenizer":{})"), {"field tokenizer", "a string"});
  check_refused(hugging_face(R"("ssm_cfg":[])"), {"ssm_cfg", "an object"});
  check_refused(hugging_face(R"("eos_token_id":"x")"), {"field eos_token_id"});
}

TEST_CASE("models that are not Mamba are refused") {
  check_refused(R"({"model_type":"mamba2","hidden_size":8,"num_hidden_layers":1,"vocab_size":8})",
                {"field model_type", "\"mamba\" or \"falcon_mamba\"", "\"mamba2\"", "Mamba-2 are others",
                 "give a checkpoint of Mamba"});
  check_refused(R"({"model_type":"jamba","hidden_size":8})", {"\"jamba\"", "give a checkpoint of Mamba"});
  check_refused(hugging_face(R"("quantization_config":{"bits":4})"), {"field quantization_config"});
  check_refused(original(R"("d_intermediate":64)"), {"field d_intermediate"});
  check_refused(original(R"("attn_layer_idx":[1])"), {"field attn_layer_idx"});
  check_refused(original(R"("ssm_cfg":{"layer":"Mamba2"})"),
                {"field ssm_cfg.layer", "\"Mamba2\"", "Mamba-2 are others"});
  // As published: Python's JSON has a word for infinity.
  const test::Folder folder;
  folder.write("config.json", R"({"model_type": "mamba2", "hidden_size": 8, "num_hidden_layers": 1,
                                  "vocab_size": 8, "time_step_limit": [0.0, Infinity]})");
  check_error<FileError>([&] { (void)read_checkpoint_config(folder.path()); },
                         {"field model_type", "\"mamba2\"", "Mamba-2 are others"});
  folder.write("config.json", hugging_face(R"("a":[-Infinity,NaN,"Infinity \" NaN"],"b":Infinity)"));
  CHECK(read_checkpoint_config(folder.path()).d_model == 768);
  folder.write("config.json", hugging_face(R"("layer_norm_epsilon":Infinity)"));
  check_error<FileError>([&] { (void)read_checkpoint_config(folder.path()); },
                         {"field layer_norm_epsilon", "a number", "\"Infinity\""});
  folder.write("config.json", "version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 2\n");
  check_error<FileError>([&] { (void)read_checkpoint_config(folder.path()); },
                         {"config.json", "git lfs pull"});
  check_refused(original(R"("ssm_cfg":{"headdim":64})"), {"field ssm_cfg.headdim"});
  CHECK_NOTHROW(parse(original(R"("d_intermediate":0,"attn_layer_idx":[],"attn_cfg":{})")));
}

TEST_CASE("what the programs do not take is refused with the field of the file's style") {
  CHECK_NOTHROW(require_supported(parse(hugging_face())));
  CHECK_NOTHROW(require_supported(parse(original())));
  check_unsupported(hugging_face(R"("conv_kernel":5)"), {"field conv_kernel", "expected 2, 3 or 4, found 5"});
  check_unsupported(hugging_face(R"("hidden_act":"gelu")"), {"field hidden_act", "\"silu\"", "\"gelu\""});
  check_unsupported(hugging_face(R"("use_conv_bias":false)"), {"field use_conv_bias"});
  check_unsupported(hugging_face(R"("rms_norm":false)"), {"field rms_norm"});
  check_unsupported(original(R"("ssm_cfg":{"d_conv":1})"), {"field ssm_cfg.d_conv", "found 1"});
  check_unsupported(original(R"("ssm_cfg":{"conv_bias":false})"), {"field ssm_cfg.conv_bias"});
  // What they do take: any inner width, other numbers of states and taps, norms of dt, B and C, biases, and a
  // head of its own.
  for (const char* more : {R"("expand":1)", R"("intermediate_size":1531)", R"("tie_word_embeddings":false)",
                           R"("state_size":5)", R"("conv_kernel":2)", R"("use_bias":true)"}) {
    CHECK_NOTHROW(require_supported(parse(hugging_face(more))));
  }
  CHECK_NOTHROW(require_supported(parse(falcon())));
  CHECK_NOTHROW(require_supported(parse(original(R"("ssm_cfg":{"expand":4},"tie_embeddings":false)"))));
  CHECK_NOTHROW(require_supported(parse(original(R"("ssm_cfg":{"d_state":32,"d_conv":3,"bias":true})"))));
}

TEST_CASE("Falcon-Mamba, as published for falcon-mamba-7b") {
  const auto config = parse(falcon());
  CHECK(config.d_model == 4096);
  CHECK(config.expand == 16);
  CHECK(config.d_inner() == 8192);  // intermediate_size decides
  CHECK(config.dt_rank == 256);
  CHECK(config.mixer_norm_epsilon == 1e-6);  // the default of its architecture
  CHECK_FALSE(config.tie_embeddings);
  CHECK_NOTHROW(require_supported(config, presets::FalconMamba7b::config));
  CHECK(parse(falcon(R"("mixer_rms_eps":1e-5)")).mixer_norm_epsilon == 1e-5);
  CHECK(parse(hugging_face()).mixer_norm_epsilon == 0.0);
  for (const char* value : {"0", "-1e-6", "1", "\"1e-6\""}) {
    check_refused(falcon(R"("mixer_rms_eps":)" + std::string(value)), {"field mixer_rms_eps"});
  }
  check_refused(hugging_face(R"("mixer_rms_eps":1e-6)"), {"field mixer_rms_eps", "falcon_mamba"});
  // A type says which of the two it is, or leaves it open.
  check_error<FileError>([&] { require_supported(config, presets::Mamba130m::config); },
                         {"field model_type", "expected \"mamba\", found \"falcon_mamba\""});
  check_error<FileError>([&] { require_supported(parse(hugging_face()), presets::FalconMamba7b::config); },
                         {"field model_type", "expected \"falcon_mamba\", found \"mamba\""});
  check_error<FileError>(
      [&] {
        require_supported(parse(hugging_face(R"("intermediate_size":1535)")), presets::Mamba130m::config);
      },
      {"field intermediate_size", "expected 1536, found 1535"});

  const test::Folder folder;
  write_file(folder / "config.json", checkpoint_config_text(config));
  const auto back = read_checkpoint_config(folder.path());
  CHECK(back.expand == 16);
  CHECK(back.d_inner() == 8192);
  CHECK(back.mixer_norm_epsilon == 1e-6);
  CHECK_FALSE(back.tie_embeddings);
  const auto document = read_json(folder / "config.json");
  CHECK(document["model_type"] == "falcon_mamba");
  CHECK(document["architectures"][0] == "FalconMambaForCausalLM");
}

TEST_CASE("kernel sizes are compared with those of the type that is to be built") {
  const auto other = parse(hugging_face(R"("state_size":8,"conv_kernel":3,"expand":1)"));
  CHECK_NOTHROW(require_supported(other, {.d_state = 8, .d_conv = 3, .expand = 1}));
  check_error<FileError>([&] { require_supported(other, {.d_state = 8, .d_conv = 3}); },
                         {"field expand", "expected 2, found 1"});
  CHECK_NOTHROW(require_supported(other, {.d_state = 8, .d_conv = 3, .expand = dyn}));
  check_error<FileError>([&] { require_supported(parse(hugging_face()), {.d_state = 8}); },
                         {"field state_size", "expected 8, found 16"});
}

TEST_CASE("a configuration is written for transformers and read back") {
  const test::Folder folder;
  CheckpointConfig config{.d_model = 100,
                          .n_layer = 3,
                          .vocab_size = 264,
                          .dt_rank = 5,
                          .d_state = 8,
                          .d_conv = 3,
                          .expand = 3,
                          .norm_epsilon = 1.25e-6,
                          .hidden_act = "gelu",
                          .use_bias = true,
                          .use_conv_bias = false,
                          .rms_norm = false,
                          .tie_embeddings = false,
                          .tokenizer = "by\"te\n\xC3\xA9",
                          .token_ids = {.eos = "256"},
                          .key_style = KeyStyle::Original};
  write_file(folder / "config.json", checkpoint_config_text(config));
  for (const auto& path : {folder.path(), folder / "config.json"}) {
    const auto back = read_checkpoint_config(path);
    CHECK(back.d_model == 100);
    CHECK(back.n_layer == 3);
    CHECK(back.vocab_size == 264);
    CHECK(back.dt_rank == 5);
    CHECK(back.d_state == 8);
    CHECK(back.d_conv == 3);
    CHECK(back.expand == 3);
    CHECK(back.norm_epsilon == 1.25e-6);
    CHECK(back.hidden_act == "gelu");
    CHECK(back.use_bias);
    CHECK_FALSE(back.use_conv_bias);
    CHECK_FALSE(back.rms_norm);
    CHECK_FALSE(back.tie_embeddings);
    CHECK(back.tokenizer == config.tokenizer);
    CHECK(back.end_of_text == 256);
    CHECK(back.key_style == KeyStyle::HuggingFace);
    CHECK(back.path == (folder / "config.json").string());
  }
  const auto document = read_json(folder / "config.json");
  CHECK(document["model_type"] == "mamba");
  CHECK(document["architectures"][0] == "MambaForCausalLM");
  CHECK(document["intermediate_size"] == 300);

  config = {.d_model = 8, .n_layer = 1, .vocab_size = 5, .dt_rank = 1};
  write_file(folder / "config.json", checkpoint_config_text(config));
  CHECK_FALSE(read_checkpoint_config(folder.path()).tokenizer);
  CHECK_FALSE(read_checkpoint_config(folder.path()).end_of_text);
  CHECK_NOTHROW(require_supported(read_checkpoint_config(folder.path())));
}

TEST_CASE("a byte checkpoint takes text, another refuses it") {
  CHECK_NOTHROW(require_compatible(
      ByteTokenizer{},
      parse(R"({"hidden_size":8,"num_hidden_layers":1,"vocab_size":264,"tokenizer":"byte"})")));
  check_error<FileError>([] { require_compatible(ByteTokenizer{}, parse(hugging_face())); },
                         {"config.json", "50280", "no \"tokenizer\""});
}

TEST_CASE("absent, cut and damaged files are FileErrors") {
  const test::Folder folder;
  check_error<FileError>([&] { (void)read_checkpoint_config(folder.path()); },
                         {"config.json", "No such file"});
  const std::string text = hugging_face(R"("ssm_cfg":{"d_state":16},"time_step_rank":"auto")");
  for (std::size_t length = 0; length < text.size(); ++length) {
    check_error<FileError>(
        [&] { (void)read_checkpoint_config(folder.write("config.json", text.substr(0, length))); },
        {"config.json"});
  }
  std::mt19937 random(4321);
  for (int i = 0; i < 500; ++i) {
    std::string damaged = text;
    for (auto flips = 1 + random() % 3; flips > 0; --flips) {
      damaged[random() % damaged.size()] = static_cast<char>(random() % 256);
    }
    try {
      require_supported(parse(damaged));
    } catch (const FileError& error) {
      CHECK(std::string(error.what()).find("config.json") != std::string::npos);
    }
  }
}

TEST_CASE("the reference checkpoints of both styles") {
  const std::filesystem::path data = SDLORA_SOURCE_DIR "/tests/reference/data";
  const auto original_keys = read_checkpoint_config(data / "original_keys");
  CHECK(original_keys.key_style == KeyStyle::Original);
  CHECK(original_keys.vocab_size == 32);  // 29, padded
  CHECK(original_keys.d_model == 16);
  const auto two_layers = read_checkpoint_config(data / "two_layers");
  CHECK(two_layers.key_style == KeyStyle::HuggingFace);
  CHECK(two_layers.vocab_size == 37);
  CHECK(two_layers.d_model == 13);
  CHECK(two_layers.n_layer == 2);
  CHECK(two_layers.dt_rank == 3);
  CHECK_NOTHROW(require_supported(original_keys));
  CHECK_NOTHROW(require_supported(two_layers));
}
