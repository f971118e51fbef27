#!/usr/bin/env python3
"""Makes data/deep_s4/ and data/deep_s4_long/: PyTorch's values and gradients of tiny deep S4 models.

Made with torch 2.13.0 (CPU), safetensors 0.8.0, Python 3.11:

    python3 -m venv venv
    venv/bin/pip install torch==2.13.0 safetensors==0.8.0
    venv/bin/python tests/reference/deep_s4.py              # rewrites both folders

The model is written down from its definition (Galim et al., arXiv 2410.09016; Gu et al., arXiv 2206.11893): the kernel of
each channel as a sum of powers, a convolution by torch.fft, autograd for all gradients. Before anything is written, the
same outputs are computed step by step. Base values are float32 on disk, everything is computed and stored in float64.
README.md here lists the tensors.
"""

import math
import pathlib
import sys

import safetensors.torch
import torch
import torch.nn.functional as F

DATA = pathlib.Path(__file__).parent / "data"


def normal(generator, *shape, scale=1.0, mean=0.0):
    values = mean + scale * torch.randn(*shape, generator=generator, dtype=torch.float64)
    return values.float().double()


def kernel(w, length):
    """(H, L), and what the layer's complex parameters become: exp(dt·A) and B, (H, N)."""
    A = -torch.exp(w["log_A_real"]) + 1j * w["A_imag"]
    z = A * torch.exp(w["log_dt"])[:, None]
    B = (torch.exp(z) - 1.0) / A
    C = torch.view_as_complex(w["C"].reshape(*A.shape, 2).contiguous())
    powers = torch.exp(z[..., None] * torch.arange(length))
    return 2.0 * torch.einsum("hn,hnl->hl", C * B, powers).real, torch.exp(z), B, C


def s4d(w, u):
    """One sequence u (L, H) by the kernel; from h0 (H, 2N) where there is one."""
    length = u.shape[0]
    K, a, _, C = kernel(w, length)
    size = 2 * length
    y = torch.fft.irfft(torch.fft.rfft(K, n=size) * torch.fft.rfft(u.T, n=size), n=size)[:, :length].T
    y = y + w["D"] * u
    if "h0" in w:
        h0 = torch.view_as_complex(w["h0"].reshape(*a.shape, 2).contiguous())
        steps = torch.arange(1, length + 1)
        y = y + 2.0 * torch.einsum("hn,hnl->lh", C * h0, a[..., None] ** steps).real
    return y


def s4d_by_steps(w, u):
    _, a, B, C = kernel(w, 1)
    h = torch.view_as_complex(w["h0"].reshape(*a.shape, 2).contiguous()) if "h0" in w else torch.zeros_like(a)
    rows = []
    for row in u:
        h = a * h + B * row[:, None]
        rows.append(2.0 * (C * h).sum(-1).real + w["D"] * row)
    return torch.stack(rows)


def run(layers, sequences, layer=s4d):
    """The rows of all sequences, behind the last layer."""
    outputs = []
    for x in sequences:
        for w in layers:
            x = F.relu(F.linear(layer(w, x), w["out_proj"], w["out_proj_bias"]))
        outputs.append(x)
    return outputs


def random_layer(generator, d, N):
    """As the paper draws A and dt, with steps long enough that all of it matters."""
    return {
        "log_A_real": torch.log(torch.rand(d, N, generator=generator).clamp(min=0.05)).double(),
        "A_imag": (math.pi * torch.randint(0, N, (d, N), generator=generator)).float().double(),
        "C": normal(generator, d, 2 * N, scale=math.sqrt(0.5)),
        "log_dt": (math.log(1e-2) + math.log(5e1) * torch.rand(d, generator=generator)).float().double(),
        "D": normal(generator, d),
        "out_proj": normal(generator, d, d, scale=0.8 / math.sqrt(d), mean=0.4 / d),
        "out_proj_bias": normal(generator, d, scale=0.3),
    }


def leaves(tensors):
    return {name: value.clone().requires_grad_() for name, value in tensors.items()}


def gradients(loss, tensors):
    return dict(zip(tensors, torch.autograd.grad(loss, list(tensors.values()))))


def named(layers):
    return {f"layers.{i}.{name}": value for i, w in enumerate(layers) for name, value in w.items()}


def split(flat, count):
    return [{name.split(".", 2)[2]: value for name, value in flat.items() if name.startswith(f"layers.{i}.")}
            for i in range(count)]


def check_close(what, found, expected):
    error = (found - expected).abs().max().item() / expected.abs().max().item()
    if not error <= 1e-10:
        sys.exit(f"{what}: two ways differ by {error}")


def dump(folder, seed, d, N, n_layer, lengths, channels, states, rank, classes):
    generator = torch.Generator().manual_seed(seed)
    base = named([random_layer(generator, d, N) for _ in range(n_layer)])
    sequences = [torch.randint(0, 10, (length, d), generator=generator).double() for length in lengths]
    target = normal(generator, sum(lengths), d, scale=2.0)
    tensors = {"x": torch.cat(sequences), "lengths": torch.tensor(lengths), "target": target,
               **{name: value.float() for name, value in base.items()}}

    # Everything learns, from a learned initial state.
    h0 = {f"layers.{i}.h0": normal(generator, d, 2 * N) for i in range(n_layer)}
    learned = leaves({**base, **h0})
    y = torch.cat(run(split(learned, n_layer), sequences))
    check_close(folder, torch.cat(run(split(learned, n_layer), sequences, s4d_by_steps)), y)
    loss = F.mse_loss(y, target)
    tensors.update(h0)
    tensors.update({"y": y, "loss": loss.reshape(1)})
    tensors.update({f"grad.{name}": value for name, value in gradients(loss, learned).items()})

    # Selected dimensions of A and C, LoRA on the projections, b and a head over the mean; zeros at first.
    chosen, adapters = [], {}
    for i in range(n_layer):
        rows = torch.randperm(d, generator=generator)[:channels].sort().values
        cols = torch.stack([torch.randperm(N, generator=generator)[:states].sort().values for _ in rows])
        chosen.append((rows, cols))
        tensors[f"layers.{i}.channels"], tensors[f"layers.{i}.states"] = rows, cols
        for site in ("log_A_real", "A_imag"):
            adapters[f"layers.{i}.{site}.delta"] = normal(generator, channels, states, scale=0.1)
        adapters[f"layers.{i}.C.delta"] = normal(generator, channels, 2 * states, scale=0.1)
        adapters[f"layers.{i}.out_proj.lora_A"] = normal(generator, rank, d, scale=0.4)
        adapters[f"layers.{i}.out_proj.lora_B"] = normal(generator, d, rank, scale=0.4)
        adapters[f"layers.{i}.out_proj_bias"] = base[f"layers.{i}.out_proj_bias"]
    adapters["head"] = normal(generator, classes, d, scale=1.0 / y.detach().max().item())
    adapters["head_bias"] = normal(generator, classes)
    labels = torch.randint(0, classes, (len(lengths),), generator=generator)

    def logits(values):
        layers = []
        for i, (rows, cols) in enumerate(chosen):
            w = {name: value.clone() for name, value in split(base, n_layer)[i].items()}
            for site in ("log_A_real", "A_imag"):
                w[site][rows[:, None], cols] += values[f"layers.{i}.{site}.delta"]
            both = torch.stack([2 * cols, 2 * cols + 1], dim=-1).reshape(len(rows), -1)
            w["C"][rows[:, None], both] += values[f"layers.{i}.C.delta"]
            w["out_proj"] = w["out_proj"] + values[f"layers.{i}.out_proj.lora_B"] @ values[f"layers.{i}.out_proj.lora_A"]
            w["out_proj_bias"] = values[f"layers.{i}.out_proj_bias"]
            layers.append(w)
        means = torch.stack([rows.mean(0) for rows in run(layers, sequences)])
        return F.linear(means, values["head"], values["head_bias"])

    learned = leaves(adapters)
    found = logits(learned)
    loss = F.cross_entropy(found, labels)
    tensors.update({"labels": labels, "adapted.y": found, "adapted.loss": loss.reshape(1)})
    tensors.update({f"adapted.{name}": value for name, value in adapters.items()})
    tensors.update({f"adapted.grad.{name}": value for name, value in gradients(loss, learned).items()})

    # Five steps of AdamW with a linear decay of the rate.
    steps, rate = 5, 1e-2
    optimizer = torch.optim.AdamW(list(learned.values()), lr=rate, weight_decay=0.0)
    losses = []
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * (1.0 - step / steps)
        optimizer.zero_grad()
        loss = F.cross_entropy(logits(learned), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    tensors["trained.losses"] = torch.stack(losses)
    tensors.update({f"trained.{name}": value for name, value in learned.items()})

    (DATA / folder).mkdir(parents=True, exist_ok=True)
    safetensors.torch.save_file({name: value.detach().clone().contiguous() for name, value in tensors.items()},
                                DATA / folder / "outputs.safetensors")


def main():
    torch.set_num_threads(1)
    dump("deep_s4", seed=1, d=5, N=3, n_layer=3, lengths=[13, 1, 8], channels=2, states=2, rank=2, classes=4)
    dump("deep_s4_long", seed=2, d=8, N=16, n_layer=2, lengths=[200], channels=3, states=5, rank=2, classes=3)


if __name__ == "__main__":
    main()
