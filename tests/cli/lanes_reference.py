"""What lanes should come to: PyTorch's DistributedDataParallel over gloo, a process for each lane.

Takes the weights and moments of one checkpoint of a float32 run with lanes, trains on from there in
float64 on the same batches, with PyTorch's own gradient average, clipping and AdamW, and compares the
loss of every step and the weights of a later checkpoint.

usage: lanes_reference.py RUN_DIR FIRST_STEP LAST_STEP TOKEN_SHARD [LANES]
Prints the largest relative differences; ends with 1 when one of them is above 1e-5. LANES is for tests
of this file: what the run had, unless it is given.
"""

import json
import os
import pathlib
import sys
import tempfile

import torch
import torch.distributed
import torch.multiprocessing
from torch.nn.parallel import DistributedDataParallel
from torch_reference import (
    LIMIT, difference, learning_rate, loss_of, read_checkpoint, read_windows, windows_of_step)


class Model(torch.nn.Module):
    """The reference's loss as a module, so that DistributedDataParallel finds its parameters."""

    def __init__(self, weights, config):
        super().__init__()
        self.names, self.config = list(weights), config
        self.tensors = torch.nn.ParameterList(torch.nn.Parameter(t.clone()) for t in weights.values())

    def named(self):
        return dict(zip(self.names, self.tensors))

    def forward(self, inputs, targets):
        return loss_of(self.named(), self.config, inputs, targets)


def optimiser_of(model, moments, job, step):
    named = model.named()
    decays = lambda name: not ("norm" in name or "embed_tokens" in name)
    groups = [{"params": [p for name, p in named.items() if decays(name)], "weight_decay": job["optim.weight_decay"]},
              {"params": [p for name, p in named.items() if not decays(name)], "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, betas=job["optim.betas"], eps=job["optim.eps"])
    for name, parameter in named.items():
        optimiser.state[parameter] = {
            "step": torch.tensor(float(step)),
            "exp_avg": moments[name + ".exp_avg"].clone(),
            "exp_avg_sq": moments[name + ".exp_avg_sq"].clone()}
    return optimiser


def lane(rank, lanes, meeting, run, first, last, shard):
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=lanes)
    config, job, weights, moments = read_checkpoint(run, first)
    *_, expected, _ = read_checkpoint(run, last)
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    losses = {r["step"]: r["loss"] for r in records if r["kind"] == "step"}
    inputs, targets = read_windows(shard, job["data.seq_len"])
    model = Model(weights, config)
    distributed = DistributedDataParallel(model)
    optimiser = optimiser_of(model, moments, job, first)
    share = job["batch.global"] // lanes

    worst_loss = 0.0
    for step in range(first, last):
        own = windows_of_step(job, step, len(inputs))[rank * share : (rank + 1) * share]
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(job, step + 1)
        optimiser.zero_grad()
        loss = distributed(inputs[own], targets[own])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), job["optim.clip_norm"])
        optimiser.step()
        mean = loss.detach().clone()
        torch.distributed.all_reduce(mean)
        mean /= lanes
        worst_loss = max(worst_loss, abs(losses[step + 1] / mean.item() - 1))
    named = model.named()
    worst = {"loss": worst_loss, "weight": max(difference(expected[name], named[name].detach()) for name in named)}
    moved = max(difference(weights[name], named[name].detach()) for name in named)
    if rank == 0:
        print(json.dumps({**worst, "moved": moved}), flush=True)
    torch.distributed.destroy_process_group()
    # Less than a hundred times the limit of movement would show nothing.
    if max(worst.values()) > LIMIT or moved < 100 * LIMIT:
        sys.exit(1)


def main():
    run, first, last, shard = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    _, job, *_ = read_checkpoint(run, first)
    lanes = int(sys.argv[5]) if len(sys.argv) > 5 else job["lanes.count"]
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    with tempfile.TemporaryDirectory() as folder:
        context = torch.multiprocessing.start_processes(
            lane, (lanes, f"{folder}/meeting", run, first, last, shard), nprocs=lanes, join=False, start_method="fork")
        try:
            while not context.join():
                pass
        except torch.multiprocessing.ProcessExitedException:
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
