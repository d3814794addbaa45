#!/usr/bin/python3
"""The peer of train_throughput and gpu.sh: the benchmark's model trained by PyTorch, as fast as
it goes.

Fused projections (q, k, v and gate, up in one product each); attention as two batched products
with mask and scale folded into the first, and AdamW with grouped tensor operations, or PyTorch's own
attention and fused AdamW (--own, on a GPU always); with --compile all of it by torch.compile. In
bfloat16 one of two usual ways, chosen with --mode:

  autocast  float32 weights, bfloat16 products under torch.autocast
  master    bfloat16 weights and activations, float32 master copies in the optimiser

Prints one JSON object with the tokens per second of the median and of the fastest step, and on a
GPU with the most memory that tensors took there. With --products instead the tokens per second that a
step would have if it consisted of the linear layers' matrix products alone.
"""

import argparse
import json
import statistics
import time

import torch
import torch.nn.functional as F
from torch import nn

WARM_UP_STEPS = 2


class RmsNorm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        v = x.float()
        scale = torch.rsqrt(v.square().mean(-1, keepdim=True) + 1e-5)
        return (v * scale * self.weight.float()).to(x.dtype)


def rotate(x, cosine, sine):
    first, second = x.chunk(2, -1)
    return x * cosine + torch.cat((-second, first), -1) * sine


class Layer(nn.Module):
    def __init__(self, a):
        super().__init__()
        self.heads, self.own = a.heads, a.own
        self.norm1, self.norm2 = RmsNorm(a.hidden), RmsNorm(a.hidden)
        self.qkv = nn.Linear(a.hidden, 3 * a.hidden, bias=False)
        self.out = nn.Linear(a.hidden, a.hidden, bias=False)
        self.gate_up = nn.Linear(a.hidden, 2 * a.ffn, bias=False)
        self.down = nn.Linear(a.ffn, a.hidden, bias=False)

    def attention(self, x, cosine, sine, mask):
        b, t, d = x.shape
        qkv = self.qkv(x).view(b, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        if self.own:
            q, k = rotate(qkv[:2], cosine, sine).to(qkv.dtype).unbind(0)
            output = F.scaled_dot_product_attention(q, k, qkv[2], is_causal=True)
            return output.transpose(1, 2).reshape(b, t, d)
        q, k = rotate(qkv[:2], cosine, sine).flatten(1, 2).unbind(0)
        v = qkv[2].flatten(0, 1)
        scale = (d // self.heads) ** -0.5
        scores = torch.baddbmm(mask.to(q.dtype), q, k.transpose(1, 2), alpha=scale)
        output = torch.bmm(scores.softmax(-1).to(v.dtype), v)
        return output.view(b, self.heads, t, -1).transpose(1, 2).reshape(b, t, d)

    def forward(self, x, cosine, sine, mask):
        x = x + self.out(self.attention(self.norm1(x), cosine, sine, mask))
        gate, up = self.gate_up(self.norm2(x)).chunk(2, -1)
        return x + self.down(F.silu(gate) * up)


class Model(nn.Module):
    def __init__(self, a):
        super().__init__()
        self.embedding = nn.Embedding(a.vocab, a.hidden)
        self.layers = nn.ModuleList(Layer(a) for _ in range(a.layers))
        self.norm = RmsNorm(a.hidden)
        self.head = nn.Linear(a.hidden, a.vocab, bias=False)

    def forward(self, tokens, cosine, sine, mask):
        x = self.embedding(tokens)
        for layer in self.layers:
            x = layer(x, cosine, sine, mask)
        return self.head(self.norm(x))


def adamw(parameters, own):
    return torch.optim.AdamW(parameters, lr=1e-3, **{"fused" if own else "foreach": True})


class MasterAdamW:
    """AdamW over float32 copies of bfloat16 parameters."""

    def __init__(self, parameters, own):
        self.parameters = list(parameters)
        self.masters = [p.detach().float().requires_grad_() for p in self.parameters]
        for master in self.masters:
            master.grad = torch.zeros_like(master)
        self.adamw = adamw(self.masters, own)

    def zero_grad(self):
        for p in self.parameters:
            p.grad = None

    @torch.no_grad()
    def step(self):
        for master, p in zip(self.masters, self.parameters):
            master.grad.copy_(p.grad)
        torch.nn.utils.clip_grad_norm_(self.masters, 1.0)
        self.adamw.step()
        for master, p in zip(self.masters, self.parameters):
            p.copy_(master)


class PlainAdamW:
    def __init__(self, parameters, own):
        self.parameters = list(parameters)
        self.adamw = adamw(self.parameters, own)

    def zero_grad(self):
        self.adamw.zero_grad(set_to_none=True)

    def step(self):
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.adamw.step()


def parse():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--mode", choices=("fp32", "autocast", "master"), default="fp32")
    p.add_argument("--device", default="cpu")
    p.add_argument("--own", action="store_true")
    p.add_argument("--compile", action="store_true")
    p.add_argument("--products", action="store_true")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--steps", type=int, default=10)
    for name, value in (("layers", 8), ("hidden", 256), ("heads", 4), ("ffn", 688),
                        ("vocab", 4096), ("tokens", 256), ("batch", 8)):
        p.add_argument("--" + name, type=int, default=value)
    a = p.parse_args()
    a.own = a.own or a.device != "cpu"
    return a


def rope(a):
    frequency = 10000.0 ** (-torch.arange(0, a.hidden // a.heads, 2) / (a.hidden // a.heads))
    angle = torch.outer(torch.arange(a.tokens), frequency).repeat(1, 2)
    return angle.cos(), angle.sin()


def rest(seconds):
    """What is left of a run when its first steps are taken away."""
    return seconds[WARM_UP_STEPS:]


def products(a, device):
    """Of each linear layer: the forward's product, and the gradients of its input and weight."""
    dtype = torch.float32 if a.mode == "fp32" else torch.bfloat16
    layer = [(a.hidden, 3 * a.hidden), (a.hidden, a.hidden), (a.hidden, 2 * a.ffn),
             (a.ffn, a.hidden)]
    rows, seconds = a.batch * a.tokens, []
    made = [[torch.randn(rows, inputs), torch.randn(outputs, inputs), torch.randn(rows, outputs)]
            for inputs, outputs in a.layers * layer + [(a.hidden, a.vocab)]]
    made = [[each.to(device, dtype) for each in matrices] for matrices in made]
    for _ in range(WARM_UP_STEPS + a.steps):
        start = time.perf_counter()
        for x, w, dy in made:
            torch.mm(x, w.t())
            torch.mm(dy, w)
            torch.mm(dy.t(), x)
        seconds.append(time.perf_counter() - start)
    print(json.dumps({"mode": a.mode, "threads": a.threads,
                      "tokens_per_s": rows / statistics.median(rest(seconds))}))


def main():
    a = parse()
    torch.set_num_threads(a.threads)
    torch.set_flush_denormal(True)  # or products of vanishing gradients take ten times as long
    torch.manual_seed(0)
    device = torch.device(a.device)
    if a.products:
        return products(a, device)
    model = Model(a).to(device)
    for p in model.parameters():
        if p.dim() == 2:
            nn.init.normal_(p, std=0.02)
    cosine, sine = rope(a)
    mask = torch.full((a.tokens, a.tokens), float("-inf")).triu(1)
    cosine, sine, mask = cosine.to(device), sine.to(device), mask.to(device)
    narrow = a.mode != "fp32"
    if narrow:
        cosine, sine, mask = cosine.bfloat16(), sine.bfloat16(), mask.bfloat16()
    if a.mode == "master":
        model = model.bfloat16()
    optimiser = (MasterAdamW if a.mode == "master" else PlainAdamW)(model.parameters(), a.own)
    tokens = torch.randint(0, a.vocab, (a.batch, a.tokens)).to(device)
    targets = torch.randint(0, a.vocab, (a.batch * a.tokens,)).to(device)

    def loss_of(tokens):
        logits = model(tokens, cosine, sine, mask)
        return F.cross_entropy(logits.float().view(-1, a.vocab), targets)

    if a.compile:
        loss_of = torch.compile(loss_of)
    seconds = []
    for _ in range(WARM_UP_STEPS + a.steps):
        start = time.perf_counter()
        optimiser.zero_grad()
        with torch.autocast(device.type, torch.bfloat16, enabled=a.mode == "autocast"):
            loss = loss_of(tokens)
        loss.backward()
        optimiser.step()
        loss.item()  # on a GPU, waits for all of the step
        seconds.append(time.perf_counter() - start)
    seconds = rest(seconds)
    count = a.batch * a.tokens
    result = {"mode": a.mode, "threads": a.threads,
              "tokens_per_s": count / statistics.median(seconds),
              "tokens_per_s_best": count / min(seconds), "loss": loss.item()}
    if device.type == "cuda":
        result["peak_bytes"] = torch.cuda.max_memory_allocated(device)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
