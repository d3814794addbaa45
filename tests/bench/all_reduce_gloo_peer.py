"""One member of the sums that tests/bench/allreduce.sh measures gloo with: torch.distributed's all_reduce.

The numbers, the barrier before each round and the check are those of tests/bench/all_reduce.cc.
"""
import argparse
import datetime
import json
import time

import torch
import torch.distributed as dist


def numbers(size, lanes_before):
    i = torch.arange(size, dtype=torch.int64)
    hashed = (i * 2654435761 // 128) % 2001 - 1000
    return (hashed * lanes_before).to(torch.float32) / 1024


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--member", type=int, required=True)
    parser.add_argument("--members", type=int, required=True)
    parser.add_argument("--meet", required=True, help="tcp://HOST:PORT of member 0")
    parser.add_argument("--mib", type=float, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=options.meet, rank=options.member,
                            world_size=options.members, timeout=datetime.timedelta(seconds=300))
    size = int(options.mib * 2**20 / 4)
    seconds = []
    for _ in range(options.rounds):
        values = numbers(size, options.member + 1)
        dist.barrier()
        begin = time.monotonic()
        dist.all_reduce(values)
        seconds.append(time.monotonic() - begin)
    expected = numbers(size, options.members * (options.members + 1) // 2)
    if not torch.equal(values, expected):
        raise SystemExit("the sum is wrong")
    print(json.dumps({"member": options.member, "seconds": seconds}), flush=True)
    dist.barrier()


main()
