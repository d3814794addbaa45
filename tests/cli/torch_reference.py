"""An independent reference for ptrain-stage, in PyTorch and float64.

Reads two consecutive checkpoints of a float32 run that trains on one shard, works out which
windows the step between them read, as ptrain-job(5) says, repeats that step with autograd and
its own AdamW, and compares the loss, every gradient and every weight; and the learning rate of
every step of the run.

usage: torch_reference.py RUN_DIR STEP TOKEN_SHARD
Prints the largest relative differences; ends with 1 when one of them is above 1e-5.
"""

import json
import math
import pathlib
import struct
import sys

import numpy
import torch
import torch.nn.functional as F

LIMIT = 1e-5
WORD = 2**64 - 1


def read_safetensors(path):
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    tensors = {}
    for name, info in header.items():
        assert info["dtype"] == "F32", name
        begin, end = info["data_offsets"]
        raw = numpy.frombuffer(data[8 + length + begin : 8 + length + end], numpy.float32)
        tensors[name] = torch.tensor(raw.astype(numpy.float64)).view(info["shape"])
    return tensors


def read_checkpoint(run, step):
    folder = run / "ckpt" / f"step-{step:08d}"
    model, moments = {}, {}
    for path in sorted(folder.glob("*.model.safetensors")):
        model.update(read_safetensors(path))
    for path in sorted(folder.glob("*.optim.safetensors")):
        moments.update(read_safetensors(path))
    run_state = json.loads((folder / "manifest.json").read_text())["run"]
    return run_state["model"], json.loads(run_state["job"]), model, moments


def read_windows(path, seq_len):
    header = numpy.fromfile(path, numpy.int32, 256)
    assert header[0] == 20240520 and header[1] == 1
    tokens = torch.tensor(numpy.fromfile(path, numpy.uint16, offset=1024).astype(numpy.int64))
    count = (len(tokens) - 1) // seq_len
    inputs = tokens[: count * seq_len].view(count, seq_len)
    return inputs, tokens[1 : count * seq_len + 1].view(count, seq_len)


def mix(x):
    x = (x + 0x9E3779B97F4A7C15) & WORD
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & WORD
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB & WORD
    return x ^ (x >> 31)


def window(seed, position, windows):
    """THE ORDER OF THE DATA in ptrain-job(5)."""
    if windows == 1:
        return 0
    key = mix(mix(seed) ^ (position // windows))
    half = ((windows - 1).bit_length() + 1) // 2
    low = 2**half - 1
    w = position % windows
    while True:
        left, right = w >> half, w & low
        for i in range(8):
            left, right = right, left ^ (mix(mix(key ^ i) ^ right) & low)
        w = left << half | right
        if w < windows:
            return w


def windows_of_step(job, step, windows):
    first = step * job["batch.global"]
    return [window(job["train.seed"], first + i, windows) for i in range(job["batch.global"])]


def learning_rate(job, n):
    """THE LEARNING RATE in ptrain-job(5), of update n."""
    w = max(job["optim.warmup_steps"], 1)
    if n <= w:
        return job["optim.lr"] * n / w
    t = (n - w) / (job["train.steps"] - w)
    f = {"cosine": (1 + math.cos(math.pi * t)) / 2, "linear": 1 - t, "constant": 1}[job["optim.schedule"]]
    least = job["optim.min_lr_ratio"]
    return job["optim.lr"] * (least + (1 - least) * f)


def rms_norm(x, weight, eps):
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + eps) * weight


def rotate(x, cos, sin):
    half = x.shape[-1] // 2
    return x * cos + torch.cat((-x[..., half:], x[..., :half]), -1) * sin


def loss_of(weights, config, inputs, targets):
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    size, eps = config["head_dim"], config["rms_norm_eps"]
    batch, length = inputs.shape
    frequency = config["rope_theta"] ** (-torch.arange(0, size, 2, dtype=torch.float64) / size)
    angle = torch.outer(torch.arange(length, dtype=torch.float64), frequency)
    cos, sin = torch.cat((angle, angle), -1).cos(), torch.cat((angle, angle), -1).sin()
    future = torch.ones(length, length, dtype=torch.bool).triu(1)

    x = weights["model.embed_tokens.weight"][inputs]
    for layer in range(config["num_hidden_layers"]):
        w = lambda name: weights[f"model.layers.{layer}.{name}.weight"]
        h = rms_norm(x, w("input_layernorm"), eps)
        split = lambda y, n: y.view(batch, length, n, size).transpose(1, 2)
        q = rotate(split(h @ w("self_attn.q_proj").T, heads), cos, sin)
        k = rotate(split(h @ w("self_attn.k_proj").T, kv_heads), cos, sin)
        v = split(h @ w("self_attn.v_proj").T, kv_heads)
        k, v = (y.repeat_interleave(heads // kv_heads, 1) for y in (k, v))
        scores = (q @ k.transpose(-1, -2)) / size**0.5
        attended = scores.masked_fill(future, float("-inf")).softmax(-1) @ v
        x = x + attended.transpose(1, 2).reshape(batch, length, -1) @ w("self_attn.o_proj").T
        h = rms_norm(x, w("post_attention_layernorm"), eps)
        h = F.silu(h @ w("mlp.gate_proj").T) * (h @ w("mlp.up_proj").T)
        x = x + h @ w("mlp.down_proj").T
    x = rms_norm(x, weights["model.norm.weight"], eps)
    head = weights.get("lm_head.weight", weights["model.embed_tokens.weight"])
    return F.cross_entropy((x @ head.T).view(batch * length, -1), targets.reshape(-1))


def difference(ours, reference):
    return ((ours - reference).norm() / reference.norm().clamp_min(1e-30)).item()


def main():
    run, step, shard = pathlib.Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    model, job, before, moments_before = read_checkpoint(run, step)
    *_, after, moments_after = read_checkpoint(run, step + 1)
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    steps = {r["step"]: r for r in records if r["kind"] == "step"}
    assert sorted(steps) == list(range(1, job["train.steps"] + 1)), sorted(steps)
    record = steps[step + 1]
    rates = {n: learning_rate(job, n) for n in steps}

    weights = {name: tensor.clone().requires_grad_() for name, tensor in before.items()}
    inputs, targets = read_windows(shard, job["data.seq_len"])
    chosen = windows_of_step(job, step, len(inputs))
    loss = loss_of(weights, model, inputs[chosen], targets[chosen])
    loss.backward()
    gradients = {name: weight.grad for name, weight in weights.items()}
    norm = torch.sqrt(sum((g * g).sum() for g in gradients.values())).item()
    clip_norm = job["optim.clip_norm"]
    clip = min(1.0, clip_norm / (norm + 1e-6)) if clip_norm > 0 else 1.0
    beta1, beta2 = job["optim.betas"]

    worst = {"loss": abs(record["loss"] - loss.item()) / loss.item(),
             "norm": abs(record["grad_norm"] - norm) / norm, "gradient": 0.0, "weight": 0.0,
             "lr": max(abs(steps[n]["lr"] - rates[n]) / rates[n] for n in steps)}
    for name, gradient in gradients.items():
        m_before, m_after = (m[name + ".exp_avg"] for m in (moments_before, moments_after))
        ours = (m_after - beta1 * m_before) / (1 - beta1) / clip
        worst["gradient"] = max(worst["gradient"], difference(ours, gradient))

        m = beta1 * m_before + (1 - beta1) * clip * gradient
        v = beta2 * moments_before[name + ".exp_avg_sq"] + (1 - beta2) * (clip * gradient) ** 2
        n = step + 1
        decay = 0.0 if "norm" in name or "embed_tokens" in name else job["optim.weight_decay"]
        update = (m / (1 - beta1**n)) / ((v / (1 - beta2**n)).sqrt() + job["optim.eps"])
        expected = before[name] - rates[step + 1] * (update + decay * before[name])
        worst["weight"] = max(worst["weight"], difference(after[name], expected))
    print(json.dumps(worst))
    return 1 if max(worst.values()) > LIMIT else 0


if __name__ == "__main__":
    sys.exit(main())
