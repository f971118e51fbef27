// peft's adapters beside what peft computed of them, and what of them is refused.
#include "peft_support.hpp"

#include <sdlora/adapters/presets.hpp>
#include <sdlora/io/peft_adapter.hpp>
#include <sdlora/model/fingerprint.hpp>

#include <doctest/doctest.h>

#include <limits>
#include <memory>
#include <string>
#include <vector>

using namespace sdlora;
using namespace sdlora_test;
using test::check_error;

namespace {

template <template <std::size_t> class Policy, class... Others>
using Projections =
    Place<On<site::InProjX, Policy<dyn>>, On<site::InProjZ, Policy<dyn>>, On<site::XProjDt, Policy<dyn>>,
          On<site::XProjB, Policy<dyn>>, On<site::XProjC, Policy<dyn>>, Others...>;
using WithEmbedding =
    Place<On<site::InProjX, LoRA<>>, On<site::InProjZ, LoRA<>>, On<site::Embedding, LoRA<>>>;

template <class P, class T>
using Model = MambaModel<presets::AnyMamba, P, T>;

/// Both ways of loading it give peft's logits.
template <class P, class T>
void compare(const char* folder, double within) {
  CAPTURE(folder);
  const Reference reference(folder);
  const auto base = peft_base<T>();
  const auto path = Reference::path_of(folder);
  const std::vector<double> expected = reference.read("logits");
  CHECK(relative_error(plain_logits<T>(base, reference.batch()), expected) > 0.1);
  CHECK(relative_error(plain_logits<T>(apply_peft_adapter(*base, path), reference.batch()), expected) <=
        within);
  const auto model = load_peft_adapter<Model<P, T>>(base, path);
  CHECK(relative_error(Outputs(model, reference.batch()).logits, expected) <= within);
}

template <class T>
void compare_all(double within) {
  compare<Projections<LoRA>, T>("lora_peft", within);
  compare<presets::LoRAPeft<>, T>("lora_peft", within);
  compare<Projections<RsLoRA>, T>("lora_peft", within);  // alpha follows the scale
  compare<Projections<RsLoRA>, T>("peft_rslora", within);
  compare<presets::LoRAPeft<5>, T>("peft_rslora", within);  // a higher rank than the file's
  compare<Projections<DoRA>, T>("peft_dora", within);
  compare<presets::LoRAPeft<>, T>("peft_a_log", within);
  compare<WithEmbedding, T>("peft_embedding", within);
}

/// Of an adapter of which `change` changed something, the logits of both ways; where they agree.
template <class P, class Change>
std::vector<double> changed_logits(const char* from, const Change& change) {
  const test::Folder folder;
  PeftParts parts(Reference::path_of(from));
  change(parts);
  parts.write(folder.path());
  const auto base = peft_base<double>();
  const Batch batch = Reference(from).batch();
  const std::vector<double> applied = plain_logits<double>(apply_peft_adapter(*base, folder.path()), batch);
  const auto model = load_peft_adapter<Model<P, double>>(base, folder.path());
  CHECK(relative_error(Outputs(model, batch).logits, applied) <= 1e-12);
  return applied;
}

/// An adapter of which `change` changed something is refused with all of `parts` in the message.
template <class Change>
void check_refused(const char* from, const Change& change, std::initializer_list<std::string> parts) {
  const test::Folder folder;
  PeftParts adapter(Reference::path_of(from));
  change(adapter);
  adapter.write(folder.path());
  const auto base = peft_base<float>();
  check_error<FileError>([&] { apply_peft_adapter(*base, folder.path()); }, {folder.path().string()});
  check_error<FileError>([&] { apply_peft_adapter(*base, folder.path()); }, parts);
}

/// The same by the loader of a placement alone.
template <class P, class Change>
void check_placement_refused(const char* from, const Change& change,
                             std::initializer_list<std::string> parts) {
  const test::Folder folder;
  PeftParts adapter(Reference::path_of(from));
  change(adapter);
  adapter.write(folder.path());
  const auto base = peft_base<float>();
  CHECK_NOTHROW(apply_peft_adapter(*base, folder.path()));
  check_error<FileError>([&] { load_peft_adapter<Model<P, float>>(base, folder.path()); }, parts);
}

const auto as_it_is = [](PeftParts&) {};

}  // namespace

TEST_CASE("peft adapter: logits in double are peft's") { compare_all<double>(1e-9); }
TEST_CASE("peft adapter: logits in float are peft's") { compare_all<float>(5e-5); }

TEST_CASE("peft adapter: names of wrapped mixers, and magnitudes with .weight, are the same tensors") {
  const std::vector<double> plain = changed_logits<Projections<DoRA>>("peft_dora", as_it_is);
  CHECK(changed_logits<Projections<DoRA>>("peft_dora", [](PeftParts& p) {
          p.rename(peft_layer(0) + "in_proj.lora_A.weight",
                   peft_layer(0) + "base_layer.in_proj.lora_A.weight");
          p.rename(peft_layer(1) + "x_proj.lora_magnitude_vector",
                   peft_layer(1) + "x_proj.lora_magnitude_vector.weight");
        }) == plain);
}

TEST_CASE("peft adapter: ranks and alphas by module and layer") {
  // The same product with rank 5 in one layer, its last two columns of B zero, and alpha to match.
  const std::string name = peft_layer(1) + "in_proj.lora_";
  const auto widen = [&](PeftParts& p) {
    auto& a = p.tensors.at(name + "A.weight");
    auto& b = p.tensors.at(name + "B.weight");
    const std::size_t out = b.first[0];
    std::vector<double> wide(out * 5, 0.0);
    for (std::size_t i = 0; i < out; ++i) std::copy_n(&b.second[i * 3], 3, &wide[i * 5]);
    a.first[0] = 5;
    a.second.resize(5 * 13, 0.25);
    b.first[1] = 5;
    b.second = wide;
    p.config["rank_pattern"] = {{"layers.1.mixer.in_proj", 5}};
    p.config["alpha_pattern"] = {{"^backbone.layers.1.mixer.in_proj", 10}};
  };
  const std::vector<double> plain = changed_logits<Projections<LoRA>>("lora_peft", as_it_is);
  CHECK(relative_error(changed_logits<Projections<LoRA>>("lora_peft", widen), plain) <= 1e-12);
  // Another scale in one module: B times 2 there.
  const auto twice = [&](PeftParts& p) {
    for (double& v : p.tensors.at(name + "B.weight").second) v *= 0.5;
    p.config["alpha_pattern"] = {{"1.mixer.in_proj", 12}};
  };
  CHECK(relative_error(changed_logits<Projections<LoRA>>("lora_peft", twice), plain) <= 1e-12);
  // A negative alpha is a negative B.
  const auto negative = [](PeftParts& p) {
    for (auto& [key, tensor] : p.tensors) {
      if (!key.ends_with("lora_B.weight")) continue;
      for (double& v : tensor.second) v = -v;
    }
    p.config["lora_alpha"] = -6;
  };
  CHECK(relative_error(changed_logits<Projections<LoRA>>("lora_peft", negative), plain) <= 1e-12);
}

TEST_CASE("peft adapter: layers that it leaves out do not learn") {
  const auto cut = [](PeftParts& p) {
    for (const char* module : {"in_proj", "x_proj"}) {
      for (const char* factor : {".lora_A.weight", ".lora_B.weight"}) {
        REQUIRE(p.tensors.erase(peft_layer(0) + module + factor) == 1);
      }
    }
  };
  changed_logits<Projections<LoRA>>("lora_peft", cut);
  const test::Folder folder;
  PeftParts parts(Reference::path_of("lora_peft"));
  cut(parts);
  parts.write(folder.path());
  const auto model = load_peft_adapter<Model<presets::LoRAPeft<>, float>>(peft_base<float>(), folder.path());
  CHECK(model.parameters().find("layers.0.in_proj_x.lora_A") == nullptr);
  CHECK(model.parameters().find("layers.1.in_proj_x.lora_A") != nullptr);
  CHECK(model.parameters().find("layers.0.A_log.lora_A") != nullptr);  // covered by the placement alone
  CHECK(model.options().of<LoRAOptions>("x_proj_B").rank == 3);
  CHECK(model.options().of<LoRAOptions>("x_proj_B").alpha == 6.0);
}

TEST_CASE("peft adapter: modules to save replace the base's values") {
  using Norms =
      Place<On<site::InProjX, LoRA<>>, On<site::InProjZ, LoRA<>>, On<site::XProjDt, LoRA<>>,
            On<site::XProjB, LoRA<>>, On<site::XProjC, LoRA<>>, On<site::Norm, Full>, On<site::NormF, Full>,
            On<site::Conv1d, Full>, On<site::ConvBias, Full>, On<site::Embedding, Full>>;
  const auto row = [](std::size_t n, double first) {
    std::vector<double> values(n);
    for (std::size_t i = 0; i < n; ++i) values[i] = first + 0.01 * static_cast<double>(i % 7);
    return values;
  };
  const std::string backbone = "base_model.model.backbone.";
  const auto save = [&](PeftParts& p) {
    p.config["modules_to_save"] = {"norm", "norm_f", "conv1d"};
    for (const char* l : {"0", "1"})
      p.tensors[backbone + "layers." + l + ".norm.weight"] = {{13}, row(13, 0.5)};
    p.tensors[backbone + "norm_f.weight"] = {{13}, row(13, 1.5)};
    p.tensors[peft_layer(1) + "conv1d.weight"] = {{26, 1, 4}, row(104, 0.1)};
    p.tensors[peft_layer(1) + "conv1d.bias"] = {{26}, row(26, -0.2)};
  };
  const std::vector<double> plain = changed_logits<Norms>("lora_peft", as_it_is);
  CHECK(relative_error(changed_logits<Norms>("lora_peft", save), plain) > 0.01);

  // Embedding and head alike stay tied; apart they do not.
  const auto both = [&](PeftParts& p) {
    p.config["modules_to_save"] = {"embeddings", "lm_head"};
    p.tensors[backbone + "embeddings.weight"] = {{37, 13}, row(37 * 13, 0.3)};
    p.tensors["base_model.model.lm_head.weight"] = p.tensors[backbone + "embeddings.weight"];
  };
  changed_logits<Norms>("lora_peft", both);
  const auto one = [&](PeftParts& p) {
    both(p);
    p.config["modules_to_save"] = {"embeddings"};
    p.tensors.erase("base_model.model.lm_head.weight");
  };
  check_placement_refused<Norms>("lora_peft", one,
                                 {"embeddings.weight", "replaces the embedding and not the head"});
  check_placement_refused<Norms>(
      "lora_peft",
      [&](PeftParts& p) {
        both(p);
        p.config["modules_to_save"] = {"lm_head"};
        p.tensors.erase(backbone + "embeddings.weight");
      },
      {"changes the head, which no placement trains", "sdlora generate, score or merge"});
  const test::Folder folder;
  PeftParts parts(Reference::path_of("lora_peft"));
  one(parts);
  parts.write(folder.path());
  const auto base = peft_base<float>();
  const auto applied = apply_peft_adapter(*base, folder.path());
  CHECK(!applied->dimensions().tied_head);
  CHECK(applied->head()(3, 2) == base->head()(3, 2));
  CHECK(applied->embedding()(3, 2) == doctest::Approx(0.3 + 0.01 * ((3 * 13 + 2) % 7)));
  CHECK(apply_peft_adapter(*base, Reference::path_of("lora_peft"))->dimensions().tied_head);
}

TEST_CASE("peft adapter: on matrices of bfloat16 it is applied to their values") {
  const auto base = peft_base<float>();
  const auto stored = base->stored_as(StoredType::BFloat16);
  for (const char* folder : {"lora_peft", "peft_dora"}) {
    const auto applied = apply_peft_adapter(stored, Reference::path_of(folder));
    CHECK(applied->weights() == StoredType::Scalar);
    CHECK(fingerprint(*applied) ==
          fingerprint(*apply_peft_adapter(stored.stored_as(StoredType::Scalar), Reference::path_of(folder))));
  }
}

TEST_CASE("peft adapter: what the file cannot mean is refused") {
  const std::string A = peft_layer(0) + "in_proj.lora_A.weight", B = peft_layer(0) + "in_proj.lora_B.weight";
  check_refused("lora_peft", [&](PeftParts& p) { p.tensors.erase(B); }, {A, "one without the other"});
  check_refused("lora_peft", [&](PeftParts& p) { p.rename(A, "layers.0.in_proj.lora_A.weight"); },
                {"\"layers.0.in_proj.lora_A.weight\"", "none of them", "merge_and_unload"});
  check_refused("lora_peft",
                [&](PeftParts& p) { p.tensors[peft_layer(0) + "in_proj.lora_C"] = {{1}, {1.0}}; },
                {"lora_C", "none of them"});
  check_refused(
      "lora_peft",
      [&](PeftParts& p) { p.tensors[peft_layer(0) + "base_layer.in_proj.lora_A.weight"] = p.tensors[A]; },
      {"expected one tensor of this kind"});
  check_refused("lora_peft", [&](PeftParts& p) { p.config["r"] = 4; },
                {A, "rank 4", "[3, 13]", "rank_pattern"});
  check_refused("lora_peft", [&](PeftParts& p) { p.tensors[A] = {{3, 12}, std::vector<double>(36)}; },
                {A, "[3, 13]", "[3, 12]", "the base that the adapter was trained on"});
  check_refused("lora_peft",
                [&](PeftParts& p) { p.tensors[A].second[7] = std::numeric_limits<double>::infinity(); },
                {A, "element 7", "infinity"});
  const std::string far = "base_model.model.backbone.layers.9.mixer.in_proj.lora_";
  check_refused("lora_peft",
                [&](PeftParts& p) { p.rename(A, far + "A.weight"), p.rename(B, far + "B.weight"); },
                {"expected a layer below 2", "layer 9"});
  check_refused("lora_peft",
                [&](PeftParts& p) {
                  for (const char* f : {"A", "B"})
                    p.rename(peft_layer(0) + "in_proj.lora_" + f + ".weight",
                             peft_layer(0) + "conv1d.lora_" + f + ".weight");
                },
                {"conv1d", "expected in_proj, x_proj, dt_proj, out_proj, A_log, embeddings or lm_head"});
  check_refused("lora_peft", [&](PeftParts& p) { p.config["use_dora"] = true; },
                {"lora_magnitude_vector", "found none"});
  check_refused("peft_dora", [&](PeftParts& p) { p.config["use_dora"] = false; }, {"expected use_dora"});
  check_refused("peft_embedding", [&](PeftParts& p) { p.config["use_dora"] = true; },
                {"DoRA of an embedding is not read"});
  check_refused("lora_peft", [&](PeftParts& p) { p.tensors.clear(); }, {"found none"});
  check_refused("lora_peft",
                [&](PeftParts& p) { p.config["target_modules"] = {"in_proj", "x_proj", "dt_proj"}; },
                {"field target_modules", "\"dt_proj\"", "learn nothing"});
  check_refused("lora_peft", [&](PeftParts& p) { p.config["modules_to_save"] = {"norm_f"}; },
                {"field modules_to_save", "\"norm_f\""});
  check_refused("lora_peft",
                [&](PeftParts& p) {
                  p.tensors["base_model.model.backbone.norm_f.weight"] = {{13}, std::vector<double>(13)};
                },
                {"norm_f", "modules_to_save of adapter_config.json"});
  check_refused("lora_peft",
                [&](PeftParts& p) {
                  p.config["modules_to_save"] = {"gate"};
                  p.tensors[peft_layer(0) + "gate.weight"] = {{13}, std::vector<double>(13)};
                },
                {"which has no backbone.layers.0.mixer.gate.weight"});
  check_refused("peft_a_log", [&](PeftParts& p) { p.config["target_parameters"] = nullptr; },
                {"expected A_log among target_parameters"});
  check_refused("peft_a_log", [&](PeftParts& p) { p.config["target_parameters"] = {"mixer.D"}; },
                {"field target_parameters", "expected A_log alone, found \"mixer.D\""});
  check_refused("peft_dora",
                [&](PeftParts& p) {
                  for (const char* f : {"lora_A.weight", "lora_B.weight"}) {
                    auto& values = p.tensors[peft_layer(0) + "x_proj." + f].second;
                    std::fill(values.begin(), values.end(), 1e30);
                  }
                },
                {"x_proj", "not finite"});
}

TEST_CASE("peft adapter: a placement that does not cover it is refused, with what does") {
  check_placement_refused<presets::LoRALinear<>>(
      "lora_peft", as_it_is,
      {"x_proj.lora_A.weight", "lora at x_proj_dt", "in_proj_z=lora", "sdlora generate, score or merge"});
  check_placement_refused<Projections<LoRA>>("peft_dora", as_it_is, {"dora at in_proj_x"});
  check_placement_refused<presets::LoRAPeft<2>>("lora_peft", as_it_is,
                                                {"field r", "at most 2", "found 3", "left to run time"});
}

TEST_CASE("peft adapter: a lookup that is not the tied head's cannot be merged") {
  const auto model = load_peft_adapter<Model<WithEmbedding, float>>(peft_base<float>(),
                                                                    Reference::path_of("peft_embedding"));
  check_error<ArgumentError>([&] { (void)model.merged(); }, {"the head is tied to the embedding"});
  CHECK(
      !apply_peft_adapter(*peft_base<float>(), Reference::path_of("peft_embedding"))->dimensions().tied_head);
}
