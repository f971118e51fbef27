#!/usr/bin/env python3
"""Makes the dumps under data/ that the tests compare with: PyTorch and Hugging Face on tiny random Mamba models.

Made with torch 2.13.0 (CPU), transformers 5.23.0, peft 0.21.2, safetensors 0.8.0, numpy 2.4.6, Python 3.11:

    python3 -m venv venv
    venv/bin/pip install torch==2.13.0 transformers==5.23.0 peft==0.21.2 safetensors==0.8.0 numpy==2.4.6
    venv/bin/python tests/reference/generate.py            # rewrites tests/reference/data/
    venv/bin/python tests/reference/generate.py falcon     # its falcon_mamba* alone
    venv/bin/python tests/reference/generate.py biases     # its biases alone
    venv/bin/python tests/reference/generate.py peft       # its peft_* alone

README.md here lists every file and tensor name. Weights are float32 on disk; all outputs are computed and stored in
float64. Hugging Face's Mamba casts to float32 inside even in a float64 model: `in_double` lifts that, and every result
is compared with the unpatched float32 model before it is written. Sequences run one by one, so that no padding has any
influence; the script checks that a right-padded batch gives the same loss.
"""

import contextlib
import json
import math
import pathlib
import shutil
import sys
import unittest.mock

import peft
import safetensors.torch
import torch
import torch.nn.functional as F
import transformers

DATA = pathlib.Path(__file__).parent / "data"
IGNORED = -100


# --- Tools ------------------------------------------------------------------------------------------------------------

@contextlib.contextmanager
def in_double():
    """Float64 tensors stay float64 where Hugging Face's code asks for float32."""
    to, as_float = torch.Tensor.to, torch.Tensor.float

    def patched_to(self, *arguments, **named):
        if self.dtype == torch.float64 and arguments == (torch.float32,) and not named:
            return self
        return to(self, *arguments, **named)

    def patched_float(self, *arguments, **named):
        return self if self.dtype == torch.float64 else as_float(self, *arguments, **named)

    with (unittest.mock.patch.object(torch.Tensor, "to", patched_to),
          unittest.mock.patch.object(torch.Tensor, "float", patched_float)):
        yield


def check_close(what, found, expected, tolerance):
    """Relative to the largest magnitude of `expected`."""
    error = (found.double() - expected.double()).abs().max().item() / max(expected.abs().max().item(), 1e-300)
    if not error <= tolerance:
        raise SystemExit(f"{what}: relative difference {error:.3e}, allowed {tolerance:.0e}")


def write(folder, name, tensors):
    folder.mkdir(parents=True, exist_ok=True)
    safetensors.torch.save_file({key: value.detach().clone().contiguous() for key, value in tensors.items()},
                                folder / f"{name}.safetensors")


def normal(generator, *shape, scale=1.0):
    """Float64 values that float32 holds exactly, so that a file of either type gives the same model."""
    return (scale * torch.randn(*shape, generator=generator)).double()


def leaf(tensor):
    return tensor.detach().clone().requires_grad_(True)


def gradients(loss, tensors):
    """{"grad.<name>": gradient}"""
    values = torch.autograd.grad(loss, list(tensors.values()))
    return {f"grad.{name}": value for name, value in zip(tensors, values)}


# --- Models and data --------------------------------------------------------------------------------------------------

def random_model(seed, d_model, n_layer, vocab_size, dt_rank, **others):
    """A Mamba whose every weight matters: larger and less regular than its initialisation."""
    sizes = {"state_size": 16, "conv_kernel": 4, "expand": 2, **others}
    config = transformers.MambaConfig(vocab_size=vocab_size, hidden_size=d_model, num_hidden_layers=n_layer,
                                      time_step_rank=dt_rank, **sizes)
    return roughen(transformers.MambaForCausalLM(config).eval(), seed)


def random_falcon(seed, **config):
    """The same for Falcon-Mamba."""
    return roughen(transformers.FalconMambaForCausalLM(transformers.FalconMambaConfig(**config)).eval(), seed)


def roughen(model, seed):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            kind = name.split(".mixer.")[-1]
            noise = torch.randn(parameter.shape, generator=generator)
            if "norm" in name:
                value = 1 + 0.3 * noise
            elif kind == "A_log":
                value = 0.3 + 0.8 * noise
            elif kind == "dt_proj.bias":
                value = -1 + noise
            elif kind == "conv1d.weight":
                value = 0.6 * noise
            elif kind in ("conv1d.bias", "in_proj.bias", "out_proj.bias"):
                value = 0.3 * noise
            elif kind == "D":
                value = noise
            elif "embeddings" in name:
                value = 0.5 * noise
            else:  # the projections
                value = 1.2 * noise / math.sqrt(parameter.shape[1])
            parameter.copy_(value)
    return model


def random_batch(seed, vocab_size, lengths):
    """Right-padded input_ids and labels: the first label of a row and about a fifth of the others are ignored."""
    generator = torch.Generator().manual_seed(seed)
    shape = len(lengths), max(lengths)
    input_ids = torch.randint(0, vocab_size, shape, generator=generator)
    ignored = torch.rand(shape, generator=generator) < 0.2
    ignored[:, 0] = True
    labels = torch.where(ignored, IGNORED, input_ids)
    for row, length in enumerate(lengths):
        input_ids[row, length:] = 0
        labels[row, length:] = IGNORED
    return {"input_ids": input_ids, "labels": labels, "lengths": torch.tensor(lengths)}


def rows_of(batch):
    """[(input_ids, labels)] without padding."""
    return [(ids[:length], labels[:length])
            for ids, labels, length in zip(batch["input_ids"], batch["labels"], batch["lengths"].tolist())]


def batch_loss(logits, labels):
    """Mean cross-entropy over the targets of all rows that are not ignored; labels as given, not shifted."""
    total = sum(F.cross_entropy(row[:-1], target[1:], ignore_index=IGNORED, reduction="sum")
                for row, target in zip(logits, labels) if len(target) > 1)
    count = sum(int((target[1:] != IGNORED).sum()) for target in labels)
    return total / count


def forward(model, batch, parameters=None, prompt=None):
    """Returns (logits of every position, all rows one after another; loss), each row run alone.

    `parameters` replaces parameters of the model by name; `prompt` (M, d) stands before the embeddings of every row.
    """
    parameters = parameters or {}
    logits, targets = [], []
    for ids, labels in rows_of(batch):
        named = {"use_cache": False}
        if prompt is None:
            named["input_ids"] = ids[None]
        else:
            embeddings = parameters.get("backbone.embeddings.weight", model.get_input_embeddings().weight)
            named["inputs_embeds"] = torch.cat([prompt, embeddings[ids]])[None]
            labels = torch.cat([torch.full((len(prompt),), IGNORED), labels])
        logits.append(torch.func.functional_call(model, parameters, (), named).logits[0])
        targets.append(labels)
    return torch.cat(logits), batch_loss(logits, targets)


def double_copy(model):
    """The model in float64 and its parameters as leaves by their Hugging Face names."""
    config = type(model.config).from_dict(model.config.to_dict())
    double = type(model)(config).eval().double()
    double.load_state_dict({name: value.double() for name, value in model.state_dict().items()})
    return double, {name: leaf(value) for name, value in double.named_parameters()}


# --- A second, plain implementation: initial states and prefixes, which Hugging Face does not offer -------------------

def rms_norm(x, weight, epsilon):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + epsilon) * weight


def causal_conv(x, weight, bias, window):
    """x (L, E), weight (E, K), window (K-1, E) the inputs before x. Returns the sums before the activation (L, E)."""
    padded = torch.cat([window, x])
    taps = weight.shape[1]
    return bias + sum(padded[k:k + len(x)] * weight[:, k] for k in range(taps))


def selective_scan(u, dt_raw, A_log, B, C, D, z, dt_bias, h0):
    """u, dt_raw, z (L, E); A_log, h0 (E, N); B, C (L, N); D, dt_bias (E). Returns y (L, E), the last state (E, N)."""
    dt = F.softplus(dt_raw + dt_bias)
    A = -torch.exp(A_log)
    state, outputs = h0, []
    for t in range(len(u)):
        state = torch.exp(dt[t][:, None] * A) * state + (dt[t] * u[t])[:, None] * B[t]
        outputs.append(state @ C[t] + D * u[t])
    return torch.stack(outputs) * F.silu(z), state


def plain_block(config, weights, layer, x, initial):
    """x (L, d) -> x + mixer(norm(x)) (L, d), the last state (E, N), the last convolution window (E, K-1).

    `initial` may hold h0.<layer> (E, N), conv0.<layer> (E, K-1) and prefix.<layer> (P, 2E): rows put after in_proj and
    before the convolution, whose outputs are dropped.
    """
    def weight(name):
        return weights[f"backbone.layers.{layer}.{name}"]

    E, N, R, K = config.intermediate_size, config.state_size, config.time_step_rank, config.conv_kernel
    def linear(name, values):
        product = values @ weight(f"mixer.{name}.weight").T
        return product + weight(f"mixer.{name}.bias") if config.use_bias else product

    xz = linear("in_proj", rms_norm(x, weight("norm.weight"), config.layer_norm_epsilon))
    prefix = initial.get(f"prefix.{layer}", xz[:0])
    inner, z = torch.cat([prefix, xz]).split(E, dim=-1)
    window = initial.get(f"conv0.{layer}", torch.zeros(E, K - 1, dtype=x.dtype)).T
    u = F.silu(causal_conv(inner, weight("mixer.conv1d.weight")[:, 0], weight("mixer.conv1d.bias"), window))
    dt_low, B, C = (u @ weight("mixer.x_proj.weight").T).split([R, N, N], dim=-1)
    if config.model_type == "falcon_mamba":
        dt_low, B, C = (rms_norm(part, 1, config.mixer_rms_eps) for part in (dt_low, B, C))
    h0 = initial.get(f"h0.{layer}", torch.zeros(E, N, dtype=x.dtype))
    y, state = selective_scan(u, dt_low @ weight("mixer.dt_proj.weight").T, weight("mixer.A_log"), B, C,
                              weight("mixer.D"), z, weight("mixer.dt_proj.bias"), h0)
    output = x + linear("out_proj", y[len(prefix):])
    return output, state, torch.cat([window, inner])[-(K - 1):].T


def plain_forward(config, weights, batch, initial):
    """Returns (logits, loss, {"final_state.<layer>": (S, E, N), "final_window.<layer>": (S, E, K-1)})."""
    logits, finals = [], []
    for ids, _ in rows_of(batch):
        x = weights["backbone.embeddings.weight"][ids]
        row = {}
        for layer in range(config.num_hidden_layers):
            x, row[f"final_state.{layer}"], row[f"final_window.{layer}"] = plain_block(config, weights, layer, x, initial)
        x = rms_norm(x, weights["backbone.norm_f.weight"], config.layer_norm_epsilon)
        logits.append(x @ weights.get("lm_head.weight", weights["backbone.embeddings.weight"]).T)
        finals.append(row)
    loss = batch_loss(logits, [labels for _, labels in rows_of(batch)])
    return torch.cat(logits), loss, {name: torch.stack([row[name] for row in finals]) for name in finals[0]}


# --- The dumps --------------------------------------------------------------------------------------------------------

def dump_model(name, model, batch, time_step_rank=None):
    """A checkpoint and what it computes. Returns (float64 model, its parameters)."""
    folder = DATA / name
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    if time_step_rank is not None:
        path = folder / "config.json"
        config = json.loads(path.read_text())
        assert time_step_rank != "auto" or config["time_step_rank"] == math.ceil(config["hidden_size"] / 16)
        config["time_step_rank"] = time_step_rank
        path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    double, parameters = double_copy(model)
    with in_double():
        logits, loss = forward(double, batch, parameters)
    assert logits.dtype == loss.dtype == torch.float64
    with torch.no_grad():
        float_logits, float_loss = forward(model, batch)
        mask = torch.arange(batch["input_ids"].shape[1]) < batch["lengths"][:, None]
        padded = model(input_ids=batch["input_ids"], attention_mask=mask.long(), labels=batch["labels"])
    check_close(f"{name}: float32 logits", float_logits, logits, 1e-5)
    check_close(f"{name}: float32 loss", float_loss, loss, 1e-5)
    check_close(f"{name}: logits of the padded batch", padded.logits[mask], logits, 1e-5)
    check_close(f"{name}: loss of the padded batch", padded.loss, loss, 1e-5)
    plain_logits, plain_loss, finals = plain_forward(double.config, parameters, batch, {})
    for row, (ids, _) in enumerate(rows_of(batch)):
        with torch.no_grad():
            cache = model(input_ids=ids[None], use_cache=True).cache_params
        for layer in range(model.config.num_hidden_layers):
            check_close(f"{name}: final state", cache.get_recurrent_state(layer, state_idx=0)[0],
                        finals[f"final_state.{layer}"][row], 1e-5)
            check_close(f"{name}: final window", cache.get_conv_state(layer, state_idx=0)[0][:, 1:],
                        finals[f"final_window.{layer}"][row], 1e-5)
    check_close(f"{name}: plain logits", plain_logits, logits, 1e-12)
    check_close(f"{name}: plain loss", plain_loss, loss, 1e-12)
    result = gradients(loss, parameters)
    for key, value in gradients(plain_loss, parameters).items():
        check_close(f"{name}: plain {key}", value, result[key], 1e-11)
    write(folder, "outputs", {**batch, "logits": logits, "logits_float32": float_logits, "loss": loss[None], **finals,
                              **result})
    return double, parameters


def dump_original_keys(model, batch):
    """The same kind of model with the keys and the config.json of the state-spaces checkpoints, tied head included."""
    folder = DATA / "original_keys"
    dump_model("original_keys", model, batch)
    state = {name.replace("backbone.embeddings.", "backbone.embedding."): value
             for name, value in model.state_dict().items()}
    safetensors.torch.save_file({name: value.clone().contiguous() for name, value in state.items()},
                                folder / "model.safetensors")
    config = {"d_model": model.config.hidden_size, "n_layer": model.config.num_hidden_layers,
              "vocab_size": model.config.vocab_size - 3, "ssm_cfg": {}, "rms_norm": True, "residual_in_fp32": True,
              "fused_add_norm": True, "pad_vocab_size_multiple": 8}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")


def random_peft_model(model, seed, **config):
    """LoRA of rank 3, alpha 6, on in_proj and x_proj unless `config` says otherwise, with A and B random."""
    copy = type(model)(model.config).eval()
    copy.load_state_dict(model.state_dict())
    config = {"target_modules": ["in_proj", "x_proj"], **config}
    wrapped = peft.get_peft_model(copy, peft.LoraConfig(r=3, lora_alpha=6, lora_dropout=0.0, task_type="CAUSAL_LM",
                                                        **config)).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in wrapped.named_parameters():
            if "lora_" in name:
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return wrapped


def save_peft(wrapped, folder):
    wrapped.peft_config["default"].base_model_name_or_path = "two_layers"
    wrapped.save_pretrained(folder, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)
    path = folder / "adapter_config.json"  # peft writes a set, in any order
    config = json.loads(path.read_text())
    for key in ("target_modules", "target_parameters"):
        if isinstance(config.get(key), list):
            config[key].sort()
    path.write_text(json.dumps(config, indent=2, sort_keys=True))


def lora_parameters(wrapped):
    """The adapter's parameters by the names under which peft saves them."""
    return {name.replace(".default", ""): parameter for name, parameter in wrapped.named_parameters()
            if "lora_" in name}


def dump_peft(model, batch, name="lora_peft", seed=101, **config):
    """LoRA through peft: the adapter as saved, and what the adapted model computes."""
    wrapped = random_peft_model(model, seed, **config)
    folder = DATA / name
    save_peft(wrapped, folder)
    with torch.no_grad():
        float_logits, _ = forward(wrapped, batch)
    wrapped.double()
    adapter = lora_parameters(wrapped)
    with in_double():
        logits, loss = forward(wrapped, batch)
    check_close(f"{name}: float32 logits", float_logits, logits, 1e-5)
    write(folder, "outputs", {**batch, "logits": logits, "loss": loss[None], **gradients(loss, adapter)})


def dump_peft_methods(model, batch):
    """peft's other kinds: rsLoRA, DoRA, LoRA of the embedding, and of A_log as a parameter."""
    dump_peft(model, batch, "peft_rslora", 111, use_rslora=True)
    dump_peft(model, batch, "peft_dora", 112, use_dora=True)
    dump_peft(model, batch, "peft_embedding", 113, target_modules=["embeddings", "in_proj"])
    dump_peft(model, batch, "peft_a_log", 114, target_modules=["in_proj"], target_parameters=["mixer.A_log"])


def dump_lora(name, double, parameters, batch, sites, rank, scale, seed):
    """LoRA by W + scale B A. `sites`: {site: (weight, first row, number of rows or None)}."""
    generator = torch.Generator().manual_seed(seed)
    adapter = {}
    changed = {key: value.detach() for key, value in parameters.items()}
    for layer in range(double.config.num_hidden_layers):
        for site, (weight, first, count) in sites.items():
            key = f"backbone.layers.{layer}.mixer.{weight}.weight"
            rows, columns = changed[key].shape
            count = rows if count is None else count
            A = adapter[f"layers.{layer}.{site}.lora_A"] = leaf(normal(generator, rank, columns, scale=0.3))
            B = adapter[f"layers.{layer}.{site}.lora_B"] = leaf(normal(generator, count, rank, scale=0.3))
            changed[key] = changed[key] + F.pad(scale * B @ A, (0, 0, first, rows - first - count))
    with in_double():
        logits, loss = forward(double, batch, changed)
    write(DATA / name, "outputs", {**batch, "scale": torch.tensor([scale], dtype=torch.float64), **adapter,
                                   "logits": logits, "loss": loss[None], **gradients(loss, adapter)})


def dump_selected_dimensions(double, parameters, batch, channels, states, rank, scale, seed):
    """SDLoRA: A_log at chosen (channel, state) pairs, columns of the B and C rows of x_proj, LoRA on out_proj."""
    generator = torch.Generator().manual_seed(seed)
    config = double.config
    E, N, R = config.intermediate_size, config.state_size, config.time_step_rank
    trained, chosen = {}, {}
    changed = {key: value.detach() for key, value in parameters.items()}
    for layer in range(config.num_hidden_layers):
        picked = torch.randperm(E, generator=generator)[:channels].sort().values
        kept = torch.stack([torch.randperm(N, generator=generator)[:states].sort().values for _ in range(channels)])
        prefix, mixer = f"layers.{layer}", f"backbone.layers.{layer}.mixer"
        chosen[f"{prefix}.channels"], chosen[f"{prefix}.states"] = picked, kept
        A_log = trained[f"{prefix}.delta_A_log"] = leaf(normal(generator, channels, states, scale=0.5))
        B = trained[f"{prefix}.delta_x_proj_B"] = leaf(normal(generator, N, channels, scale=0.5))
        C = trained[f"{prefix}.delta_x_proj_C"] = leaf(normal(generator, N, channels, scale=0.5))
        down = trained[f"{prefix}.out_proj.lora_A"] = leaf(normal(generator, rank, E, scale=0.3))
        up = trained[f"{prefix}.out_proj.lora_B"] = leaf(normal(generator, config.hidden_size, rank, scale=0.3))
        changed[f"{mixer}.A_log"] = changed[f"{mixer}.A_log"].index_put((picked[:, None], kept), A_log, accumulate=True)
        x_proj = changed[f"{mixer}.x_proj.weight"]
        dense = torch.zeros_like(x_proj).index_put((torch.arange(R, R + 2 * N)[:, None], picked), torch.cat([B, C]))
        changed[f"{mixer}.x_proj.weight"] = x_proj + dense
        changed[f"{mixer}.out_proj.weight"] = changed[f"{mixer}.out_proj.weight"] + scale * up @ down
    with in_double():
        logits, loss = forward(double, batch, changed)
    write(DATA / "selected_dimensions", "outputs",
          {**batch, "scale": torch.tensor([scale], dtype=torch.float64), **chosen, **trained, "logits": logits,
           "loss": loss[None], **gradients(loss, trained)})


def dump_prompt(double, parameters, batch, rows, seed):
    generator = torch.Generator().manual_seed(seed)
    trained = {"prompt": leaf(normal(generator, rows, double.config.hidden_size))}
    with in_double():
        logits, loss = forward(double, batch, {key: value.detach() for key, value in parameters.items()},
                               trained["prompt"])
    write(DATA / "prompt", "outputs",
          {**batch, **trained, "logits": logits, "loss": loss[None], **gradients(loss, trained)})


def dump_initial(name, double, parameters, batch, kinds, rows, seed):
    """Learned initial states, convolution windows or prefixes of every layer, by the plain implementation."""
    generator = torch.Generator().manual_seed(seed)
    config = double.config
    shapes = {"h0": (config.intermediate_size, config.state_size),
              "conv0": (config.intermediate_size, config.conv_kernel - 1), "prefix": (rows, 2 * config.intermediate_size)}
    trained = {f"{kind}.{layer}": leaf(normal(generator, *shapes[kind]))
               for layer in range(config.num_hidden_layers) for kind in kinds}
    logits, loss, finals = plain_forward(config, {key: value.detach() for key, value in parameters.items()}, batch,
                                         trained)
    write(DATA / name, "outputs",
          {**batch, **trained, "logits": logits, "loss": loss[None], **finals, **gradients(loss, trained)})


def dump_training(name, trained, run, batches, learning_rate, weight_decay, decays, warmup_steps=0):
    """Steps of AdamW with a linear schedule and clipping at 1. `run(batch)` gives the loss of the `trained` leaves."""
    groups = [{"params": [value for key, value in trained.items() if decays(key)], "weight_decay": weight_decay},
              {"params": [value for key, value in trained.items() if not decays(key)], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW([group for group in groups if group["params"]], lr=learning_rate, betas=(0.9, 0.999),
                                  eps=1e-8)
    schedule = transformers.get_linear_schedule_with_warmup(optimizer, warmup_steps, len(batches))
    log = {"loss": [], "gradient_norm": [], "learning_rate": []}
    result = {f"initial.{key}": value.detach().clone() for key, value in trained.items()}
    for batch in batches:
        optimizer.zero_grad()
        with in_double():
            loss = run(batch)
        loss.backward()
        log["learning_rate"].append(schedule.get_last_lr()[0])
        log["gradient_norm"].append(torch.nn.utils.clip_grad_norm_(trained.values(), 1.0).item())
        log["loss"].append(loss.item())
        optimizer.step()
        schedule.step()
    result |= {f"final.{key}": value.detach() for key, value in trained.items()}
    result |= {key: torch.tensor(values, dtype=torch.float64) for key, values in log.items()}
    result |= {key: torch.stack([batch[key] for batch in batches]) for key in batches[0]}
    write(DATA / name, "outputs", {**result, "weight_decay": torch.tensor([weight_decay], dtype=torch.float64)})
    print(f"{name}: losses {log['loss']}, gradient norms {log['gradient_norm']}")


def dump_falcon_mamba():
    """Falcon-Mamba: norms of dt, B and C; d_inner no multiple of d_model, the head its own; then the head tied and
    other kernel sizes, with norms that epsilon matters to."""
    batch = random_batch(31, 23, [7, 1, 5])
    double, parameters = dump_model("falcon_mamba", random_falcon(
        30, vocab_size=23, hidden_size=10, intermediate_size=24, expand=16, num_hidden_layers=2, state_size=16,
        conv_kernel=4, time_step_rank=3, tie_word_embeddings=False), batch)
    R, E, N = 3, 24, 16
    dump_lora("falcon_mamba_lora", double, parameters, batch,
              {"in_proj_x": ("in_proj", 0, E), "in_proj_z": ("in_proj", E, E), "x_proj_dt": ("x_proj", 0, R),
               "x_proj_B": ("x_proj", R, N), "x_proj_C": ("x_proj", R + N, N), "dt_proj": ("dt_proj", 0, None),
               "out_proj": ("out_proj", 0, None)}, rank=2, scale=1.5, seed=110)
    dump_model("falcon_mamba_tied", random_falcon(
        32, vocab_size=13, hidden_size=6, expand=3, num_hidden_layers=1, state_size=8, conv_kernel=3,
        time_step_rank=2, mixer_rms_eps=0.3, tie_word_embeddings=True), random_batch(33, 13, [5, 6]))


def dump_biases():
    """Mamba with biases of in_proj and out_proj, a head of its own, and other kernel sizes than the published."""
    dump_model("biases", random_model(34, 6, 2, 13, 2, state_size=5, conv_kernel=2, expand=3, use_bias=True,
                                      tie_word_embeddings=False), random_batch(35, 13, [6, 1, 9]))


def dump_layers():
    """Single layers in float64, at sizes that are no multiple of a vector or block."""
    generator = torch.Generator().manual_seed(7)
    tensors = {}

    def record(case, inputs, outputs):
        """`outputs`: {name: value}; each gets a random upstream gradient, named grad_<name>."""
        total = 0
        for name, value in outputs.items():
            upstream = normal(generator, *value.shape)
            tensors[f"{case}.{name}"], tensors[f"{case}.grad_{name}"] = value, upstream
            total = total + (value * upstream).sum()
        tensors.update({f"{case}.{name}": value for name, value in inputs.items()})
        tensors.update({f"{case}.{name}": value for name, value in
                        ((key.replace("grad.", "grad_"), value) for key, value in gradients(total, inputs).items())})

    for case, rows, width in (("rms_norm.0", 1, 1), ("rms_norm.1", 5, 13), ("rms_norm.2", 3, 37)):
        inputs = {"x": leaf(normal(generator, rows, width)), "weight": leaf(normal(generator, width))}
        record(case, inputs, {"y": rms_norm(inputs["x"], inputs["weight"], 1e-5)})

    for case, length, E in (("conv.0", 1, 1), ("conv.1", 2, 5), ("conv.2", 11, 19)):
        inputs = {"x": leaf(normal(generator, length, E)), "weight": leaf(normal(generator, E, 4)),
                  "bias": leaf(normal(generator, E)), "window": leaf(normal(generator, E, 3))}
        sums = causal_conv(inputs["x"], inputs["weight"], inputs["bias"], inputs["window"].T)
        reference = F.conv1d(torch.cat([inputs["window"].T, inputs["x"]]).T[None], inputs["weight"][:, None],
                             inputs["bias"], groups=E)[0].T
        check_close(case, sums, reference, 1e-13)
        last = torch.cat([inputs["window"].T, inputs["x"]])[-3:].T
        record(case, inputs, {"y": F.silu(sums), "last_window": last})

    for case, length, E, N in (("scan.0", 1, 1, 16), ("scan.1", 7, 3, 16), ("scan.2", 37, 11, 16), ("scan.3", 13, 5, 3)):
        shapes = {"u": (length, E), "dt": (length, E), "A_log": (E, N), "B": (length, N), "C": (length, N), "D": (E,),
                  "z": (length, E), "dt_bias": (E,), "h0": (E, N)}
        inputs = {name: leaf(normal(generator, *shape)) for name, shape in shapes.items()}
        y, state = selective_scan(inputs["u"], inputs["dt"], inputs["A_log"], inputs["B"], inputs["C"], inputs["D"],
                                  inputs["z"], inputs["dt_bias"], inputs["h0"])
        record(case, inputs, {"y": y, "last_state": state})
    write(DATA / "layers", "outputs", tensors)


def main():
    torch.set_num_threads(1)
    if sys.argv[1:] == ["falcon"]:
        dump_falcon_mamba()
        return
    if sys.argv[1:] == ["biases"]:
        dump_biases()
        return
    if sys.argv[1:] == ["peft"]:
        dump_peft_methods(random_model(2, 13, 2, 37, 3), random_batch(12, 37, [13, 7, 1, 10]))
        return
    shutil.rmtree(DATA, ignore_errors=True)

    dump_model("one_layer", random_model(1, 8, 1, 17, "auto"), random_batch(11, 17, [7, 1, 13]), "auto")
    model = random_model(2, 13, 2, 37, 3)
    batch = random_batch(12, 37, [13, 7, 1, 10])
    double, parameters = dump_model("two_layers", model, batch)
    dump_model("three_layers", random_model(3, 18, 3, 61, "auto"), random_batch(13, 61, [1, 29]))
    dump_original_keys(random_model(4, 16, 1, 32, "auto"), random_batch(14, 29, [9, 4]))

    R, E, N = 3, 26, 16
    dump_peft(model, batch)
    dump_peft_methods(model, batch)
    dump_lora("lora_dt_out", double, parameters, batch,
              {"dt_proj": ("dt_proj", 0, None), "out_proj": ("out_proj", 0, None)}, rank=3, scale=2.0, seed=102)
    dump_lora("lora_sites", double, parameters, batch,
              {"in_proj_x": ("in_proj", 0, E), "in_proj_z": ("in_proj", E, E), "x_proj_dt": ("x_proj", 0, R),
               "x_proj_B": ("x_proj", R, N), "x_proj_C": ("x_proj", R + N, N), "dt_proj": ("dt_proj", 0, None),
               "out_proj": ("out_proj", 0, None)}, rank=2, scale=1.5, seed=103)
    dump_selected_dimensions(double, parameters, batch, channels=5, states=3, rank=2, scale=1.0, seed=104)
    dump_prompt(double, parameters, batch, rows=5, seed=105)
    dump_initial("initial_state", double, parameters, batch, ("h0", "conv0"), 0, seed=106)
    dump_initial("prefix", double, parameters, batch, ("prefix",), 5, seed=107)
    dump_initial("learned_state", double, parameters, batch, ("h0",), 0, seed=109)

    batches = [random_batch(20 + step, 37, [11, 6]) for step in range(5)]
    wrapped = random_peft_model(model, seed=108)
    wrapped.double()
    dump_training("training_lora", lora_parameters(wrapped), lambda b: forward(wrapped, b)[1], batches,
                  learning_rate=2e-2, weight_decay=0.1, decays=lambda name: True)
    full, _ = double_copy(model)
    undecayed = ("A_log", ".D", "bias", "norm.weight", "norm_f.weight")
    dump_training("training_full", dict(full.named_parameters()), lambda b: forward(full, b)[1], batches,
                  learning_rate=1e-2, weight_decay=0.1, decays=lambda name: not name.endswith(undecayed), warmup_steps=2)
    dump_falcon_mamba()
    dump_biases()
    dump_layers()
    total = sum(path.stat().st_size for path in DATA.rglob("*") if path.is_file())
    print(f"{DATA}: {total:,} bytes")


if __name__ == "__main__":
    main()
